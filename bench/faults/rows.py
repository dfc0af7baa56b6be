"""The faults, one function each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import asyncpg
from redis.asyncio import Redis

from bench.faults.proxy import Harm, Proxy
from bench.faults.resending import Replaying, Shuffling
from bench.faults.stage import SECOND_WRITER, Stage
from bench.faults.vehicles import Wrap

LONG_S: Final = 20.0
SLEEP_S: Final = (4.5, 7.0)
MOST_LOOKS: Final = 300
COPYING: Final = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND query ILIKE 'COPY%' AND pid <> pg_backend_pid()
"""
LATE_MS: Final = 30 * 86_400_000

Strike = Callable[[Stage, Proxy, Random], Awaitable[None]]
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
    async def strike(stage: Stage, proxy: Proxy, dice: Random) -> None:
        await stage.kill(process)
        if process == "web":
            await stage.until_web_serves()

    return strike


async def _kill_a_writer(stage: Stage, proxy: Proxy, dice: Random) -> None:
    await stage.kill(dice.choice(("writer", SECOND_WRITER)))


async def _stop_a_writer(stage: Stage, proxy: Proxy, dice: Random) -> None:
    """Longer than its leases hold: the other has stored its work when it wakes up."""
    async with stage.stopped(dice.choice(("writer", SECOND_WRITER))):
        await asyncio.sleep(dice.uniform(*SLEEP_S))


async def _stop_in_copy(stage: Stage, proxy: Proxy, dice: Random) -> None:
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


async def _stop_ingest(stage: Stage, proxy: Proxy, dice: Random) -> None:
    async with stage.stopped("ingest"):
        await asyncio.sleep(dice.uniform(0.5, 4.0))


def _kill_service(name: str) -> Strike:
    async def strike(stage: Stage, proxy: Proxy, dice: Random) -> None:
        await stage.kill_service(name)
        await stage.start_services()

    return strike


def _restart_service(name: str, *, down_s: float = 0.0) -> Strike:
    async def strike(stage: Stage, proxy: Proxy, dice: Random) -> None:
        await stage.stop_service(name)
        await asyncio.sleep(down_s)
        await stage.start_services()

    return strike


async def _wipe(stage: Stage, proxy: Proxy, dice: Random) -> None:
    async with Redis.from_url(stage.config.redis_url) as redis:
        await redis.flushall()


async def _fill_redis(stage: Stage, proxy: Proxy, dice: Random) -> None:
    """Over its memory limit nothing is evicted, and what would add is refused."""
    async with Redis.from_url(stage.config.redis_url) as redis:
        usual = str((await redis.config_get("maxmemory"))["maxmemory"])
        await redis.config_set("maxmemory", 1)
        await asyncio.sleep(dice.uniform(0.1, 2.0))
        await redis.config_set("maxmemory", usual)


async def _fill_disk(stage: Stage, proxy: Proxy, dice: Random) -> None:
    """Something else fills the disk of PostgreSQL, Redis and the logs, and lets go of it again."""
    filler = stage.config.home / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1_000_000)):
            pass
    await asyncio.sleep(dice.uniform(0.5, 4.0))
    filler.unlink()
    await stage.start_services()


def _line(harm: Harm, *, most_s: float) -> Strike:
    async def strike(stage: Stage, proxy: Proxy, dice: Random) -> None:
        await proxy.hurt(harm)
        await asyncio.sleep(dice.uniform(0.1, most_s))
        await proxy.heal()

    return strike


async def _nothing(stage: Stage, proxy: Proxy, dice: Random) -> None:
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
    "line-cut": Row("line cut", _line(Harm.CUT, most_s=0.5)),
    "line-reset": Row("line reset", _line(Harm.RESET, most_s=0.5)),
    "line-black-hole": Row("black hole, up to 5 s", _line(Harm.BLACK_HOLE, most_s=5.0)),
    "line-half-open": Row("half-open: replies vanish, up to 5 s", _line(Harm.HALF_OPEN, most_s=5.0)),
    "line-slow": Row("4,000 bytes/s, up to 5 s", _line(Harm.SLOW, most_s=5.0)),
    "line-duplicate": Row("every byte sent twice, up to 2 s", _line(Harm.DUPLICATE, most_s=2.0)),
    "late": Row("late by 30 days", _nothing, late_ms=LATE_MS),
    "shuffled": Row("requests shuffled", _nothing, wrap=Shuffling),
    "replayed": Row("each request ten times", _nothing, wrap=Replaying),
}
