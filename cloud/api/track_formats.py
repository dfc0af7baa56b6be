"""A track as GeoJSON, GPX, KML or CSV. Pure: fixes in, text out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from xml.sax.saxutils import escape

from cloud.api.replies import LineString, Point, Track, TrackProperties
from cloud.api.times import from_us, to_ms


class Fix(NamedTuple):
    """`t_us` since the Unix epoch, degrees, m, km/h, degrees true."""

    t_us: int
    lat: float
    lon: float
    alt: float | None = None
    speed: float | None = None
    course: float | None = None


@dataclass(frozen=True)
class Text:
    content_type: str
    extension: str
    write: Callable[[str, Sequence[Fix]], str]


def geojson(
    vehicle: str, fixes: Sequence[Fix], *, start: datetime | None, end: datetime | None, following: str | None
) -> Track:
    coordinates = [[f.lon, f.lat] if f.alt is None else [f.lon, f.lat, f.alt] for f in fixes]
    geometry: LineString | Point | None = None
    if len(coordinates) == 1:
        geometry = Point(coordinates=coordinates[0])
    elif coordinates:
        geometry = LineString(coordinates=coordinates)
    return Track(
        geometry=geometry,
        properties=TrackProperties(
            vehicle=vehicle,
            from_=to_ms(start) if start else None,
            to=to_ms(end) if end else None,
            times=[f.t_us // 1000 for f in fixes],
            speeds=[f.speed for f in fixes],
            next=following,
        ),
    )


def gpx(vehicle: str, fixes: Sequence[Fix]) -> str:
    """GPX 1.1; speed (m/s) and course as Garmin's TrackPointExtension v2, since 1.1 itself has no place for them."""
    points = "".join(map(_gpx_point, fixes))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gpx version="1.1" creator="Fleetwire" xmlns="http://www.topografix.com/GPX/1/1" '
        'xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2">\n'
        f"<trk><name>{escape(vehicle)}</name><trkseg>\n{points}</trkseg></trk>\n</gpx>\n"
    )


def kml(vehicle: str, fixes: Sequence[Fix]) -> str:
    """KML 2.2 with a gx:Track, which keeps the times."""
    times = "".join(f"<when>{_rfc3339(f.t_us)}</when>\n" for f in fixes)
    places = "".join(f"<gx:coord>{f.lon!r} {f.lat!r} {f.alt or 0.0!r}</gx:coord>\n" for f in fixes)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<kml xmlns="http://www.opengis.net/kml/2.2" xmlns:gx="http://www.google.com/kml/ext/2.2">\n'
        f"<Placemark><name>{escape(vehicle)}</name><gx:Track>\n{times}{places}</gx:Track></Placemark>\n</kml>\n"
    )


def csv(vehicle: str, fixes: Sequence[Fix]) -> str:
    """A vehicle's id needs no quoting, numbers neither."""
    rows = "".join(
        f"{vehicle},{_rfc3339(f.t_us)},{f.lat!r},{f.lon!r},{_number(f.alt)},{_number(f.speed)},{_number(f.course)}\r\n"
        for f in fixes
    )
    return f"vehicle,time,lat,lon,alt_m,speed_kmh,course_deg\r\n{rows}"


TEXTS: Mapping[str, Text] = {
    "gpx": Text("application/gpx+xml", "gpx", gpx),
    "kml": Text("application/vnd.google-earth.kml+xml", "kml", kml),
    "csv": Text("text/csv", "csv", csv),
}


def _gpx_point(fix: Fix) -> str:
    elevation = "" if fix.alt is None else f"<ele>{fix.alt!r}</ele>"
    speed = "" if fix.speed is None else f"<gpxtpx:speed>{fix.speed / 3.6:.3f}</gpxtpx:speed>"
    course = "" if fix.course is None else f"<gpxtpx:course>{fix.course % 360:.2f}</gpxtpx:course>"
    more = f"<gpxtpx:TrackPointExtension>{speed}{course}</gpxtpx:TrackPointExtension>" if speed or course else ""
    extensions = f"<extensions>{more}</extensions>" if more else ""
    return (
        f'<trkpt lat="{_decimal(fix.lat)}" lon="{_decimal(fix.lon)}">{elevation}<time>{_rfc3339(fix.t_us)}</time>'
        f"{extensions}</trkpt>\n"
    )


def _decimal(degrees: float) -> str:
    """XML Schema's decimal knows no exponent."""
    text = repr(degrees)
    return f"{degrees:.12f}" if "e" in text else text


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _rfc3339(t_us: int) -> str:
    return from_us(t_us).isoformat(timespec="milliseconds").replace("+00:00", "Z")
