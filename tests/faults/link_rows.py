"""Faults of the link: the real uplink over real sockets through a bad proxy, in simulated time.

Recovery is in simulated seconds: from when the link is good again until all is settled. A link that stays slow has
recovered when all is settled that was stored.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import aiohttp
import structlog

from edge.disk.spool_file import WAL_BYTES
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.transport import Answer
from edge.ways.uplink_http import HttpTransport
from simulator.bad_link import BLACK_HOLE, CUT, DOUBLED, GOOD, HALF_OPEN, BadLink, Condition, bad_link
from tests.fake_cloud import TOKEN, FakeCloud, serve
from tests.faults.simulated_time import run_simulated
from tests.faults.trial import NOW_MS, VEHICLE, Record, Result, judge, store

PATIENCE_S = 86_400.0
"""Simulated. Whoever has not settled by then never will."""

DAYS = 7
DAY_S = 86_400.0
ROUND_TRIP_S = 0.2

Weather = Callable[[BadLink, Random], Coroutine[None, None, None]]


async def flaps(seed: int, folder: Path) -> Result:
    """The link is cut and comes back, also in mid-request, and now and then delivers a request twice."""

    async def weather(link: BadLink, dice: Random) -> None:
        for _ in range(dice.randint(3, 12)):
            link.condition = dice.choice((GOOD, GOOD, DOUBLED))
            await asyncio.sleep(dice.expovariate(1 / 5.0))
            link.condition = dice.choice((CUT, CUT, Condition(resets_after=dice.randint(0, 5_000))))
            await asyncio.sleep(dice.expovariate(1 / 5.0))

    return await _simulated(_drive_over(seed, folder, weather))


async def half_open(seed: int, folder: Path) -> Result:
    """Connections stand, but nothing arrives, or the answers do not."""

    async def weather(link: BadLink, dice: Random) -> None:
        for _ in range(dice.randint(1, 4)):
            link.condition = GOOD
            await asyncio.sleep(dice.expovariate(1 / 10.0))
            link.condition = dice.choice((BLACK_HOLE, HALF_OPEN))
            await asyncio.sleep(dice.expovariate(1 / 30.0))

    return await _simulated(_drive_over(seed, folder, weather))


async def slow(seed: int, folder: Path) -> Result:
    """Ten bytes a second in each direction, and it stays so."""

    async def weather(link: BadLink, dice: Random) -> None:
        link.condition = Condition(bytes_per_s=10.0)
        await asyncio.sleep(5.0)

    return await _simulated(_drive_over(seed, folder, weather, most_samples=40, clears_up=False))


async def week(seed: int, folder: Path) -> Result:
    """Seven days without network, with several starts a day; every second time the spool's bound is too small."""
    return await _simulated(_week(seed, folder))


async def _simulated(work: Coroutine[None, None, Result]) -> Result:
    return await asyncio.to_thread(run_simulated, work)


async def _drive_over(
    seed: int,
    folder: Path,
    weather: Weather,
    *,
    most_samples: int = 200,
    clears_up: bool = True,
) -> Result:
    """A drive that stores something about once a second for as long as `weather` goes on; then all that is owed."""
    dice = Random(seed)
    record, cloud = Record(), FakeCloud()
    async with serve(cloud) as url, bad_link("127.0.0.1", urlsplit(url).port or 0) as (link, port):
        spool = Spool.open(folder / "spool.db", vehicle=VEHICLE, max_bytes=10**9, now_ms=NOW_MS)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            with closing(spool):
                outbox = Outbox(spool)
                transport = HttpTransport(session, url=f"http://127.0.0.1:{port}", token=lambda: TOKEN)
                uplink = Uplink(outbox, transport, token=lambda: TOKEN, dice=Random(seed))
                sending = tasks.create_task(uplink.run(), name="uplink")
                bad = tasks.create_task(weather(link, Random(seed + 1)), name="weather")
                while not bad.done():
                    await store(outbox, spool, record, dice, most_samples=most_samples)
                    await asyncio.sleep(dice.expovariate(1.0))
                if clears_up:
                    link.condition = GOOD
                recovery_s = await _until_settled(outbox)
                sending.cancel()
                await asyncio.wait([sending])
                return judge(record, cloud, spool, recovery_s=recovery_s)


async def _until_settled(outbox: Outbox) -> float:
    """How long it takes."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.timeout(PATIENCE_S):
        await outbox.settled.wait()
    return loop.time() - began_s


class _NoNetwork:
    """A transport that reaches nobody."""

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        return Answer(problem="no network")

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        return Answer(problem="no network")


class _Network:
    """A transport that reaches the cloud, with the delay of a mobile network."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        await asyncio.sleep(ROUND_TRIP_S)
        return Answer(200, self._cloud.take(body))

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        return Answer(204)


async def _week(seed: int, folder: Path) -> Result:
    dice = Random(seed)
    record, cloud = Record(), FakeCloud()
    path = folder / "spool.db"
    room = dice.randint(200_000, 1_000_000) if seed % 2 else 10**9
    forced, full = 0, False
    for _ in range(DAYS):
        for _ in range(drives := dice.randint(1, 3)):
            with closing(Spool.open(path, vehicle=VEHICLE, max_bytes=3 * WAL_BYTES + room, now_ms=NOW_MS)) as spool:
                outbox = Outbox(spool)
                async with asyncio.TaskGroup() as tasks:
                    uplink = Uplink(outbox, _NoNetwork(), token=lambda: TOKEN, dice=Random(dice.getrandbits(32)))
                    sending = tasks.create_task(uplink.run(), name="uplink")
                    for _ in range(dice.randint(5, 40)):
                        await store(outbox, spool, record, dice, most_samples=400)
                        await asyncio.sleep(dice.uniform(30.0, 180.0))
                        full |= outbox.counts.evicted > 0
                        if full and spool.used_bytes < room / 2:
                            raise AssertionError(f"{spool.used_bytes} of {room} bytes are used, and batches had to go")
                    sending.cancel()
                forced += outbox.counts.lost_by_cause["evicted"]
            await asyncio.sleep(DAY_S / drives / 2)
    with closing(Spool.open(path, vehicle=VEHICLE, max_bytes=3 * WAL_BYTES + room, now_ms=NOW_MS)) as spool:
        outbox = Outbox(spool)
        async with asyncio.TaskGroup() as tasks:
            uplink = Uplink(outbox, _Network(cloud), token=lambda: TOKEN, dice=Random(seed))
            sending = tasks.create_task(uplink.run(), name="uplink")
            recovery_s = await _until_settled(outbox)
            sending.cancel()
        return judge(record, cloud, spool, recovery_s=recovery_s, forced=forced)


def be_quiet() -> None:
    """The uplink says each time that nobody answers."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
