"""A track says the same in every format."""

import csv
import io
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.api.track_formats import TEXTS, Fix, geojson

T0_US = 1_627_274_455_000_000
FIXES = [
    Fix(T0_US, 56.1, 10.2, 12.5, 36.0, 90.0),
    Fix(T0_US + 250_000, 56.10001, 10.20002),
    Fix(T0_US + 1_000_000, -0.0000001, -179.9999999, -3.0, 0.0, 359.9),
]
GPX = {"g": "http://www.topografix.com/GPX/1/1", "x": "http://www.garmin.com/xmlschemas/TrackPointExtension/v2"}
KML = {"k": "http://www.opengis.net/kml/2.2", "gx": "http://www.google.com/kml/ext/2.2"}

finite = st.floats(-1e4, 1e4)
fixes = st.lists(
    st.builds(
        Fix,
        st.integers(0, 4_000_000_000_000_000).map(lambda us: us // 1000 * 1000),
        st.floats(-90, 90),
        st.floats(-180, 180),
        st.none() | finite,
        st.none() | st.floats(0, 400),
        st.none() | st.floats(0, 360),
    ),
    max_size=5,
)


def test_geojson_has_times_and_speeds_beside_the_line() -> None:
    start = datetime(2021, 7, 26, tzinfo=UTC)
    track = geojson("v", FIXES, start=start, end=None, following="more").model_dump(mode="json", by_alias=True)
    assert track["type"] == "Feature"
    assert track["geometry"] == {
        "type": "LineString",
        "coordinates": [[10.2, 56.1, 12.5], [10.20002, 56.10001], [-179.9999999, -0.0000001, -3.0]],
    }
    assert track["properties"] == {
        "vehicle": "v",
        "from": 1_627_257_600_000,
        "to": None,
        "times": [1_627_274_455_000, 1_627_274_455_250, 1_627_274_456_000],
        "speeds": [36.0, None, 0.0],
        "next": "more",
    }


@pytest.mark.parametrize(("count", "kind"), [(0, None), (1, "Point"), (2, "LineString")])
def test_geojson_geometry_is_valid_for_any_number_of_fixes(count: int, kind: str | None) -> None:
    track = geojson("v", FIXES[:count], start=None, end=None, following=None)
    assert (track.geometry.type if track.geometry else None) == kind


def test_gpx_has_time_elevation_and_speed_in_metres_a_second() -> None:
    points = ElementTree.fromstring(TEXTS["gpx"].write("v", FIXES)).findall(".//g:trkpt", GPX)
    assert points[0].attrib == {"lat": "56.1", "lon": "10.2"}
    assert points[0].findtext("g:time", namespaces=GPX) == "2021-07-26T04:40:55.000Z"
    assert points[0].findtext("g:ele", namespaces=GPX) == "12.5"
    assert points[0].findtext(".//x:speed", namespaces=GPX) == "10.000"
    assert points[1].find("g:extensions", GPX) is None
    assert points[2].attrib["lat"] == "-0.000000100000"


@given(fixes)
def test_every_format_can_be_read_back(track: list[Fix]) -> None:
    xml = {name: ElementTree.fromstring(TEXTS[name].write("v", track)) for name in ("gpx", "kml")}
    positions = [(point.attrib["lat"], point.attrib["lon"]) for point in xml["gpx"].findall(".//g:trkpt", GPX)]
    degrees = [float(text) for at in positions for text in at]
    assert degrees == pytest.approx([number for f in track for number in (f.lat, f.lon)], abs=1e-11)
    assert not any("e" in text for at in positions for text in at)
    coords = [coord.text.split() for coord in xml["kml"].findall(".//gx:coord", KML) if coord.text]
    assert [(float(lat), float(lon)) for lon, lat, _ in coords] == [(f.lat, f.lon) for f in track]
    assert len(xml["kml"].findall(".//k:when", KML)) == len(track)
    rows = list(csv.DictReader(io.StringIO(TEXTS["csv"].write("v", track))))
    assert [(float(row["lat"]), float(row["lon"])) for row in rows] == [(f.lat, f.lon) for f in track]
    assert [float(row["speed_kmh"]) if row["speed_kmh"] else None for row in rows] == [f.speed for f in track]
