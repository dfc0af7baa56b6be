"""A recording through ingest and writer into the archive: all of it, once, however often and however interrupted."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

from cloud.config import CloudConfig
from edge.recordings.import_plan import numbered_batches, stream_of, survey
from edge.recordings.import_sender import ImportSender
from edge.ways.uplink_http import HttpTransport
from fleetwire.__main__ import cli
from tests.recount import assert_counts_agree
from tests.running import add_vehicle, eventually, fetch, running_ingest, running_writer, settings
from tests.unit.test_import import DATA, DBC, wish_for, write_log
from wire.names import shard_of

pytestmark = pytest.mark.services

FRAMES = 12_000


@pytest.fixture
def config(database_url: str, redis_url: str, tmp_path: Path) -> CloudConfig:
    return settings(database_url, redis_url, home=tmp_path)


@pytest.fixture
async def ingest(config: CloudConfig, tmp_path: Path) -> AsyncIterator[str]:
    """The address, which stands in run.json as well."""
    async with running_ingest(config) as address:
        (tmp_path / "run.json").write_text(json.dumps({"ingest": address}))
        yield address


@pytest.fixture
async def writer(config: CloudConfig) -> AsyncIterator[None]:
    async with running_writer(config):
        yield


async def run(config: CloudConfig, *arguments: str | Path) -> Result:
    env = {key: None for key in os.environ if key.startswith("FLEETWIRE_")}
    env |= {
        "FLEETWIRE_HOME": str(config.home),
        "FLEETWIRE_DATABASE_URL": config.database_url,
        "FLEETWIRE_REDIS_URL": config.redis_url,
    }
    return await asyncio.to_thread(CliRunner().invoke, cli, ("import", *map(str, arguments)), env=env)


async def counts(database_url: str) -> tuple[int, int]:
    """Samples, and different ones."""
    (row,) = await fetch(
        database_url, "SELECT count(*) AS n, count(DISTINCT (ts, vehicle_id, signal_id, value)) AS d FROM samples"
    )
    return row["n"], row["d"]


async def test_recording_is_stored_once_however_often_it_is_imported(
    config: CloudConfig, ingest: str, writer: None, tmp_path: Path
) -> None:
    path, dbc = write_log(tmp_path / "a.log", frames=FRAMES), tmp_path / "a.dbc"
    dbc.write_text(DBC)
    first = await run(config, path, "--dbc", dbc, "--vehicle", "truck-1")
    assert first.exit_code == 0, first.output
    assert "vehicle 'truck-1' is new: it is registered" in first.output
    assert "a.log: 24,000 samples, 0 fixes in" in first.output
    assert await counts(config.database_url) == (2 * FRAMES, 2 * FRAMES)
    again = await run(config, path, "--dbc", dbc, "--vehicle", "truck-1")
    assert "a.log: 0 samples, 0 fixes in 0 batches stored;" in again.output
    assert await counts(config.database_url) == (2 * FRAMES, 2 * FRAMES)
    (row,) = await fetch(config.database_url, "SELECT received::text, next FROM ledger")
    assert row["received"] == f"{{[0,{row['next']})}}"
    (span,) = await fetch(config.database_url, "SELECT extract(epoch FROM max(ts) - min(ts))::float AS s FROM samples")
    assert span["s"] == pytest.approx((FRAMES - 1) / 100)
    signals = await fetch(config.database_url, "SELECT name, unit, max FROM signals ORDER BY name")
    assert [tuple(one) for one in signals] == [("Engine.Load", "%", 255.0), ("Engine.Speed", "rpm", 16_383.0)]
    (tokens,) = await fetch(
        config.database_url, "SELECT count(*) FILTER (WHERE revoked_at IS NULL) AS n FROM credentials"
    )
    assert tokens["n"] == 0
    await assert_counts_agree(config.database_url)


async def test_other_settings_for_the_same_file_need_a_word(
    config: CloudConfig, ingest: str, writer: None, tmp_path: Path
) -> None:
    path, dbc = write_log(tmp_path / "a.log", frames=100), tmp_path / "a.dbc"
    dbc.write_text(DBC)
    assert (await run(config, path, "--dbc", dbc, "--vehicle", "truck-1")).exit_code == 0
    dbc.write_text(DBC.replace("Load", "Burden"))
    refused = await run(config, path, "--dbc", dbc, "--vehicle", "truck-1")
    assert refused.exit_code == 1
    assert "was imported for 'truck-1' with other databases or settings" in refused.output
    assert await counts(config.database_url) == (200, 200)
    assert (await run(config, path, "--dbc", dbc, "--vehicle", "truck-1", "--again")).exit_code == 0
    names = await fetch(config.database_url, "SELECT name FROM signals ORDER BY 1")
    assert [one["name"] for one in names] == ["Engine.Burden", "Engine.Load", "Engine.Speed"]


async def test_gps_log_becomes_fixes(config: CloudConfig, ingest: str, writer: None) -> None:
    result = await run(config, DATA / "nmea" / "telit-he910.log", "--vehicle", "truck-1")
    assert result.exit_code == 0, result.output
    (row,) = await fetch(
        config.database_url, "SELECT count(*) AS n, count(DISTINCT ts) AS d, min(lat) AS lat FROM fixes"
    )
    assert (row["n"], row["d"]) == (187, 187)
    await assert_counts_agree(config.database_url)


async def test_interrupted_import_goes_on_also_after_redis_was_wiped_and_without_a_writer(
    config: CloudConfig, ingest: str, tmp_path: Path
) -> None:
    """Cancelled while nothing is written, wiped, run again while a writer comes and goes."""
    path, wish = write_log(tmp_path / "a.log", frames=FRAMES), wish_for(tmp_path)
    token = await add_vehicle(config.database_url)
    found = survey(path, wish)

    async def send() -> None:
        async with aiohttp.ClientSession() as session:
            sender = ImportSender(
                HttpTransport(session, url=ingest, token=lambda: token),
                lambda: numbered_batches(found, wish),
                vehicle="truck-1",
                stream=stream_of(found, wish),
                told=lambda _: None,
            )
            await sender.run()

    first = asyncio.create_task(send())
    async with Redis.from_url(config.redis_url) as redis:
        await eventually(lambda: redis.xlen(f"tm:{{{shard_of('truck-1'):02d}}}"))
        first.cancel()
        await asyncio.wait([first])
        async with running_writer(config):
            await eventually(lambda: fetch(config.database_url, "SELECT FROM ledger WHERE received <> '{}'"))
        sending = asyncio.create_task(send())
        await redis.flushall()
        async with running_writer(config):
            async with asyncio.timeout(60):
                await sending
    assert await counts(config.database_url) == (2 * FRAMES, 2 * FRAMES)
    await assert_counts_agree(config.database_url)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (("{log}", "--vehicle", "truck 1", "--dbc", "{dbc}"), 2, "'truck 1' is no vehicle id"),
        (("{log}", "--vehicle", "truck-1"), 1, "name its CAN database with --dbc"),
        (("{log}", "{log}", "--vehicle", "truck-1", "--dbc", "{dbc}", "--begin", "2026-01-01"), 2, "one by one"),
        (("{log}", "--vehicle", "truck-1", "--dbc", "{dbc}", "--fix", "latt=A.B"), 2, "NAME one of lat, lon"),
        (("{log}", "--vehicle", "truck-1", "--dbc", "{dbc}", "--fix", "lat=A.B"), 2, "needs lat and lon"),
        (("{log}", "--vehicle", "truck-1", "--dbc", "{dbc}", "--url", "http://127.0.0.1:1"), 2, "go together"),
    ],
)
async def test_misuse_says_what_to_do(
    config: CloudConfig, tmp_path: Path, arguments: tuple[str, ...], exit_code: int, says: str
) -> None:
    (tmp_path / "a.dbc").write_text(DBC)
    places = {"log": write_log(tmp_path / "a.log", frames=10), "dbc": tmp_path / "a.dbc"}
    result = await run(config, *(one.format(**places) for one in arguments))
    assert (result.exit_code, says in result.output) == (exit_code, True), result.output
