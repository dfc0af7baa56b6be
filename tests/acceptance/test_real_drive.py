"""The real drive, played at speed through the agent: what is stored is what cantools decodes, once and in order."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import asyncpg
import can
import cantools
import pytest

from tests.acceptance.conftest import running_system

TRIP = Path(__file__).parents[3] / "shared" / "data" / "obd2-trip"
COUNTER_M = 40_579
"""The receiver's own trip counter at the end of the drive."""
VEHICLE = "obd2-trip"
EARTH_RADIUS_M = 6_371_008.8

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not TRIP.exists(), reason="the recorded drive (../shared/data/obd2-trip) is not here"),
]


@pytest.mark.xdist_group("system")
def test_the_real_drive_is_stored_exactly_as_cantools_decodes_it(tmp_path: Path) -> None:
    recordings = sorted(TRIP.glob("*.MF4"))
    expected = _decode_with_cantools(recordings)
    with running_system() as system:
        run = system.run
        token = _add_vehicle(system.home)
        (tmp_path / "token").write_text(token)
        (tmp_path / "edge.toml").write_text(_configuration(recordings, run["ingest"]))
        subprocess.run(
            [sys.executable, "-m", "fleetwire", "edge", "run", "--config", "edge.toml", "--exit-when-settled"],
            cwd=tmp_path,
            timeout=600,
            check=True,
        )
        stored, fixes = asyncio.run(_read(run["database_url"]))
    assert stored.keys() == expected.keys()
    for name, values in expected.items():
        assert len(stored[name]) == len(values), name
        assert stored[name] == values, name
    assert _length_m(fixes) == pytest.approx(COUNTER_M, rel=0.01)


def _decode_with_cantools(recordings: list[Path]) -> dict[str, list[float]]:
    database = cantools.database.Database()
    for name in ("OBD-v4.4.dbc", "canmod-gnss.dbc"):
        database.add_dbc_file(TRIP / name)
    values: dict[str, list[float]] = defaultdict(list)
    for recording in recordings:
        with can.LogReader(recording) as frames:
            for frame in frames:
                if frame.is_error_frame or frame.is_remote_frame:
                    continue
                try:
                    message = database.get_message_by_frame_id(frame.arbitration_id)
                    decoded = message.decode(frame.data, decode_choices=False, allow_truncated=True)
                except (KeyError, cantools.database.DecodeError):
                    continue
                assert isinstance(decoded, dict)
                for signal, value in decoded.items():
                    if isinstance(value, int | float) and math.isfinite(value):
                        values[f"{message.name}.{signal}"].append(float(value))
    return dict(values)


def _add_vehicle(home: Path) -> str:
    added = subprocess.run(
        [sys.executable, "-m", "fleetwire", "admin", "vehicle", "add", VEHICLE],
        env={**os.environ, "FLEETWIRE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return added.stdout.split()[-1]


def _configuration(recordings: list[Path], ingest: str) -> str:
    files = ", ".join(f'"{path}"' for path in recordings)
    return f"""
vehicle = "{VEHICLE}"

[[can]]
interface = "replay"
channel = [{files}]
speed = 0
dbc = ["{TRIP / "OBD-v4.4.dbc"}", "{TRIP / "canmod-gnss.dbc"}"]

[gps]
can = {{ lat = "GnssPosition.Latitude", lon = "GnssPosition.Longitude", valid = "GnssPosition.PositionValid" }}

[[sampling.rule]]
match = "*"
min_interval_ms = 0
every = true

[spool]
path = "spool.db"

[uplink]
url = "{ingest}"
token_file = "token"
"""


async def _read(database_url: str) -> tuple[dict[str, list[float]], list[tuple[float, float]]]:
    """The values by signal and the fixes, in the order of their times."""
    connection = await asyncpg.connect(database_url)
    try:
        vehicle = await connection.fetchval("SELECT id FROM vehicles WHERE ident = $1", VEHICLE)
        values: dict[str, list[float]] = {}
        for signal in await connection.fetch("SELECT id, name FROM signals"):
            rows = await connection.fetch(
                "SELECT value FROM samples WHERE vehicle_id = $1 AND signal_id = $2 ORDER BY ts",
                vehicle,
                signal["id"],
            )
            if rows:
                values[signal["name"]] = [row["value"] for row in rows]
        fixes = await connection.fetch("SELECT lat, lon FROM fixes WHERE vehicle_id = $1 ORDER BY ts", vehicle)
        return values, [(row["lat"], row["lon"]) for row in fixes]
    finally:
        await connection.close()


def _length_m(fixes: list[tuple[float, float]]) -> float:
    """The sum of great-circle distances (haversine)."""
    total = 0.0
    for (lat1, lon1), (lat2, lon2) in pairwise([(math.radians(lat), math.radians(lon)) for lat, lon in fixes]):
        half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
        total += 2 * EARTH_RADIUS_M * math.asin(math.sqrt(half))
    return total
