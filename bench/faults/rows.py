"""The faults, one function each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import asyncpg
from redis.asyncio import Redis

from bench.faults.resending import Replaying, Shuffling
from bench.faults.stage import SECOND_WRITER, Stage
from bench.faults.vehicles import Wrap
from simulator.bad_link import BLACK_HOLE, DOUBLED, GOOD, HALF_OPEN, BadLink, Condition

LONG_S: Final = 20.0
SLEEP_S: Final = (4.5, 7.0)
MOST_LOOKS: Final = 300
COPYING: Final = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND query ILIKE 'COPY%' AND pid <> pg_backend_pid()
"""
LATE_MS: Final = 30 * 86_400_000

Strike = Callable[[Stage, BadLink, Random], Awaitable[None]]
"""Does the harm and ends it; what has to recover by itself may still do so on return."""


@dataclass(frozen=True)
class Row:
    """A fault as the table names it."""

    fault: str
    strike: Strike
    wrap: Wrap | None = None
    late_ms: int = 0
    small_disk: bool = False


class Unsettled(AssertionError):
    """The vehicles were not told in time that all is settled."""


def _kill(process: str) -> Strike:
    async def strike(stage: Stage, link: BadLink, dice: Random) -> None:
        await stage.kill(process)
        if process == "web":
            await stage.until_web_serves()

    return strike


async def _kill_a_writer(stage: Stage, link: BadLink, dice: Random) -> None:
    await stage.kill(dice.choice(("writer", SECOND_WRITER)))


async def _stop_a_writer(stage: Stage, link: BadLink, dice: Random) -> None:
    """Longer than its leases hold: the other has stored its work when it wakes up."""
    async with stage.stopped(dice.choice(("writer", SECOND_WRITER))):
        await asyncio.sleep(dice.uniform(*SLEEP_S))


async def _stop_in_copy(stage: Stage, link: BadLink, dice: Random) -> None:
    """Both are stopped at a moment at which one of them copies, and holds the ledger's rows; one goes on before."""
    writers = ["writer", SECOND_WRITER]
    dice.shuffle(writers)
    async with AsyncExitStack() as stack:
        connection = await asyncpg.connect(stage.config.database_url)
        stack.push_async_callback(connection.close)
        for _ in range(MOST_LOOKS):
            first, second = (stage.stopped(writer) for writer in writers)
            async with AsyncExitStack() as sleeping:
                await sleeping.enter_async_context(first)
                async with second:
                    copies = await connection.fetchval(COPYING)
                if copies:
                    await asyncio.sleep(dice.uniform(*SLEEP_S))
                    return
            await asyncio.sleep(dice.random() * 0.02)
        raise AssertionError(f"no writer was in mid-COPY at any of {MOST_LOOKS} looks")


async def _stop_ingest(stage: Stage, link: BadLink, dice: Random) -> None:
    async with stage.stopped("ingest"):
        await asyncio.sleep(dice.uniform(0.5, 4.0))


def _kill_service(name: str) -> Strike:
    async def strike(stage: Stage, link: BadLink, dice: Random) -> None:
        await stage.kill_service(name)
        await stage.start_services()

    return strike


def _restart_service(name: str, *, down_s: float = 0.0) -> Strike:
    async def strike(stage: Stage, link: BadLink, dice: Random) -> None:
        await stage.stop_service(name)
        await asyncio.sleep(down_s)
        await stage.start_services()

    return strike


async def _wipe(stage: Stage, link: BadLink, dice: Random) -> None:
    async with Redis.from_url(stage.config.redis_url) as redis:
        await redis.flushall()


async def _fill_redis(stage: Stage, link: BadLink, dice: Random) -> None:
    """Over its memory limit nothing is evicted, and what would add is refused."""
    async with Redis.from_url(stage.config.redis_url) as redis:
        usual = str((await redis.config_get("maxmemory"))["maxmemory"])
        await redis.config_set("maxmemory", 1)
        await asyncio.sleep(dice.uniform(0.1, 2.0))
        await redis.config_set("maxmemory", usual)


async def _fill_disk(stage: Stage, link: BadLink, dice: Random) -> None:
    """Something else fills the disk of PostgreSQL, Redis and the logs, and lets go of it again."""
    filler = stage.config.home / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1_000_000)):
            pass
    await asyncio.sleep(dice.uniform(0.5, 4.0))
    filler.unlink()
    await stage.start_services()


def _end_lines(*, reset: bool) -> Strike:
    async def strike(stage: Stage, link: BadLink, dice: Random) -> None:
        link.end_all(reset=reset)
        await asyncio.sleep(dice.uniform(0.1, 0.5))

    return strike


def _line(condition: Condition, *, most_s: float) -> Strike:
    """A line is doubled from its beginning to its end. What swallows ends with it, as when it comes back elsewhere."""

    async def strike(stage: Stage, link: BadLink, dice: Random) -> None:
        link.condition = condition
        if condition.doubles:
            link.end_all(reset=False)
        await asyncio.sleep(dice.uniform(0.1, most_s))
        link.condition = GOOD
        if condition.doubles or condition.swallows_replies:
            link.end_all(reset=False)

    return strike


async def _nothing(stage: Stage, link: BadLink, dice: Random) -> None:
    """The content or the way it is sent is the fault."""


ROWS: Final[Mapping[str, Row]] = {
    "undisturbed": Row("none", _nothing),
    "kill-ingest": Row("kill -9 of ingest", _kill("ingest")),
    "kill-writer": Row("kill -9 of one of two writers", _kill_a_writer),
    "kill-web": Row("kill -9 of web", _kill("web")),
    "stop-writer": Row("SIGSTOP of one of two writers, 4.5 to 7 s", _stop_a_writer),
    "stop-copy": Row("SIGSTOP of a writer in mid-COPY, 4.5 to 7 s", _stop_in_copy),
    "stop-ingest": Row("SIGSTOP of ingest, 0.5 to 4 s", _stop_ingest),
    "kill-redis": Row("kill -9 of Redis", _kill_service("redis")),
    "restart-redis": Row("Redis restarted", _restart_service("redis")),
    "wipe-redis": Row("Redis wiped (FLUSHALL)", _wipe),
    "full-redis": Row("Redis over its memory limit, 0.1 to 2 s", _fill_redis),
    "kill-postgres": Row("kill -9 of PostgreSQL", _kill_service("postgres")),
    "restart-postgres": Row("PostgreSQL restarted", _restart_service("postgres")),
    "long-postgres": Row(f"PostgreSQL down for {LONG_S:.0f} s", _restart_service("postgres", down_s=LONG_S)),
    "full-disk": Row("disk of PostgreSQL and Redis full, 0.5 to 4 s", _fill_disk, small_disk=True),
    "line-cut": Row("line cut", _end_lines(reset=False)),
    "line-reset": Row("line reset", _end_lines(reset=True)),
    "line-black-hole": Row("black hole, up to 5 s", _line(BLACK_HOLE, most_s=5.0)),
    "line-half-open": Row("half-open: replies vanish, up to 5 s", _line(HALF_OPEN, most_s=5.0)),
    "line-slow": Row("4,000 bytes/s, up to 5 s", _line(Condition(bytes_per_s=4_000.0), most_s=5.0)),
    "line-duplicate": Row("every byte sent twice, up to 2 s", _line(DOUBLED, most_s=2.0)),
    "late": Row("late by 30 days", _nothing, late_ms=LATE_MS),
    "shuffled": Row("requests shuffled", _nothing, wrap=Shuffling),
    "replayed": Row("each request ten times", _nothing, wrap=Replaying),
}
