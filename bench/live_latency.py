"""live_latency: how long until a browser's socket hears of it.

`live_latency` begins on the vehicle, where a signal changes: the agent's own batcher (batches of 1 s), spool on disk
and uplink, ingest, Redis, and a socket that follows the vehicle as its page in the dashboard does. Its baseline is the
part that the batcher alone takes. `live_latency.ingest-to-socket` begins where a request is sent to ingest, and its
baseline is the answer to that very request; `.all` has sockets that follow the whole fleet, `.1000-clients` as many
sockets. `live_latency.stalled` is the same with hundreds of sockets beside that are never read from, against itself
without them. All of the cloud runs. p99 in ms, by the samples' own times.
"""

import asyncio
import gc
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any, Final

import aiohttp

from bench.figure import Figure, Medians, smaller_is_better
from bench.live_sockets import LiveSocket
from bench.load import Connection, Sender
from bench.series import Series
from bench.stack import INGEST, WEB, WRITER, Stack, running
from bench.synthetic import Second
from cloud.access.accounts import add_vehicles
from cloud.database import connect
from edge.batcher import Batcher, Draft
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.uplink_http import HttpTransport

WARM_UP_S: Final = 4.0
SECONDS: Final = 15.0
STALLED_RUNS: Final = 3
SPOOL_BYTES: Final = 64_000_000
TICK_S: Final = 0.05
CHANGE_EVERY_S: Final = 2.0
"""On average, at moments of their own: so a change waits for any part of the batch's second."""
PAGE: Final = {"op": "subscribe", "id": 1, "signals": ["*"], "max_hz": 4}
"""What a vehicle's page asks for."""

Signals = Mapping[str, tuple[int, float]]
Hear = Callable[[str, Signals], None]


@dataclass
class _Heard:
    """Ages in ms of what happened from `since_ms` on; before that all is warming up."""

    since_ms: int = sys.maxsize
    baseline: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    sent: dict[tuple[str, int], float] = field(default_factory=dict)

    def closed(self, draft: Draft) -> None:
        """The newest change of each signal in a batch that was closed just now."""
        now_ms = _now_ms()
        ages = (now_ms - column.t_ms[-1] for column in draft.columns.values() if column.t_ms[-1] >= self.since_ms)
        self.baseline.extend(ages)

    def change(self, _: str, signals: Signals) -> None:
        """Changes of signals that a socket brought just now."""
        now_ms = _now_ms()
        self.ours.extend(now_ms - t_ms for t_ms, _ in signals.values() if t_ms >= self.since_ms)

    def batch(self, vehicle: str, signals: Signals) -> None:
        """A batch that a socket brought just now, known by its newest time."""
        t_ms = max((t_ms for t_ms, _ in signals.values()), default=0)
        if t_ms >= self.since_ms:
            self.ours.append(1000 * (time.monotonic() - self.sent[vehicle, t_ms]))


def from_vehicle(*, vehicles: int = 20, signals: int = 20, seconds: float = SECONDS) -> Figure:
    """Each signal changes now and then; what a newer change replaces within its batch nobody sees."""
    heard = asyncio.run(_from_vehicle(vehicles, signals, seconds))
    note = (
        f"{vehicles} vehicles, each of {signals} signals changes every {CHANGE_EVERY_S:g} s on average; "
        f"{len(heard.ours):,} changes seen; the baseline is their age when the batch is closed"
    )
    return smaller_is_better("live_latency", _p99(heard), unit="ms", note=note)


@dataclass(frozen=True)
class Audience:
    """Sockets that follow all signals at 20 Hz, `each` of so many vehicles; all of them where it is None."""

    clients: int
    each: int | None
    looked_into: int
    """Of so many sockets the messages are read; the others only take them."""

    def wishes(self, vehicles: Sequence[str]) -> list[dict[str, Any]]:
        return [PAGE | {"vehicles": self._of(number, vehicles), "max_hz": 20} for number in range(self.clients)]

    def _of(self, number: int, vehicles: Sequence[str]) -> list[str]:
        if self.each is None:
            return ["*"]
        return [vehicles[(number * self.each + place) % len(vehicles)] for place in range(self.each)]

    def __str__(self) -> str:
        return f"{self.clients:,} clients at max_hz 20, each on {self.each or 'all'} vehicles"


def from_ingest(name: str, *, vehicles: int, audience: Audience, seconds: float = SECONDS) -> Figure:
    """Each vehicle sends a batch of 1 s every second."""
    (heard,) = asyncio.run(_from_ingest(vehicles, audience, [0], seconds))
    note = (
        f"{vehicles:,} vehicles with a request a second, {audience}; {len(heard.ours):,} updates looked into; "
        "the baseline is ingest's answer"
    )
    return smaller_is_better(name, _p99(heard), unit="ms", note=note)


def stalled(*, vehicles: int, audience: Audience, stalled: int, seconds: float = SECONDS) -> Figure:
    """Without them and with them, in turns."""
    phases = asyncio.run(_from_ingest(vehicles, audience, [0, stalled] * STALLED_RUNS, seconds))
    without, beside = (median(quantiles(heard.ours, n=100)[-1] for heard in phases[start::2]) for start in (0, 1))
    note = (
        f"{vehicles:,} vehicles, {audience}, and {stalled} more that follow all vehicles and read nothing; "
        "the baseline is without these"
    )
    return smaller_is_better("live_latency.stalled", Medians(beside, without, STALLED_RUNS), unit="ms", note=note)


async def _from_vehicle(vehicles: int, signals: int, seconds: float) -> _Heard:
    heard = _Heard()
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(running(WRITER, INGEST, WEB))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-bench-")))
        credentials = await _register(cloud, vehicles)
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=_as_admin(cloud)))
        async with asyncio.TaskGroup() as tasks:
            members = [_Member(credential, signals, folder, heard) for credential in credentials]
            running_now = [
                tasks.create_task(work, name=name)
                for member in members
                for name, work in (
                    ("vehicle", member.live()),
                    ("uplink", member.send(cloud.ingest_url)),
                    ("browser", _watch(cloud, session, PAGE | {"vehicles": [member.vehicle]}, heard.change)),
                )
            ]
            await asyncio.sleep(WARM_UP_S)
            heard.since_ms = _now_ms()
            await asyncio.sleep(seconds)
            for task in running_now:
                task.cancel()
    return heard


async def _from_ingest(vehicles: int, audience: Audience, stalled: Sequence[int], seconds: float) -> list[_Heard]:
    """What was heard in each phase; `stalled` says how many sockets there are beside in each that are not read from."""
    heard = _Heard()
    phases = []
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(running(WRITER, INGEST, WEB))
        senders = Sender.of(await _register(cloud, vehicles))
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=_as_admin(cloud)))
        live = f"{cloud.web_url}/v1/live"
        async with asyncio.TaskGroup() as tasks:
            running_now = [
                tasks.create_task(_send_seconds(cloud.ingest_url, sender, number / vehicles, heard), name="vehicle")
                for number, sender in enumerate(senders)
            ]
            wishes = audience.wishes([sender.vehicle for sender in senders])
            await asyncio.sleep(WARM_UP_S)
            for wish in wishes[: audience.looked_into]:
                running_now.append(tasks.create_task(_watch(cloud, session, wish, heard.batch), name="browser"))
            others = [
                await LiveSocket.open(live, [wish], bearer=cloud.admin_token) for wish in wishes[audience.looked_into :]
            ]
            for count in stalled:
                beside = [
                    await LiveSocket.open(live, [PAGE | {"max_hz": 20}], bearer=cloud.admin_token, stalled=True)
                    for _ in range(count)
                ]
                await asyncio.sleep(WARM_UP_S)
                with _without_pauses():
                    heard.since_ms = _now_ms()
                    await asyncio.sleep(seconds)
                phases.append(_Heard(baseline=heard.baseline, ours=heard.ours))
                heard.since_ms, heard.baseline, heard.ours = sys.maxsize, [], []
                for one in beside:
                    one.close()
            for one in others:
                one.close()
            for task in running_now:
                task.cancel()
    return phases


class _Member:
    """A vehicle whose signals change now and then, with the agent's batcher, spool and uplink."""

    def __init__(self, credential: tuple[str, str], signals: int, folder: Path, heard: _Heard) -> None:
        self.vehicle, self._token = credential
        self._heard = heard
        self._random = Random(self.vehicle)
        self._signals = signals
        names = [f"Message{index // 5}.Signal{index:02}" for index in range(signals)]
        self._batcher = Batcher(names, max_age_ms=1000, max_samples=5000)
        path = folder / f"{self.vehicle}.db"
        self._outbox = Outbox(Spool.open(path, vehicle=self.vehicle, max_bytes=SPOOL_BYTES, now_ms=_now_ms()))

    async def live(self) -> None:
        """For ever: sleep until the next change, take it, and store the batch when it is old enough."""
        rate = self._signals / CHANGE_EVERY_S
        change_s = time.monotonic()
        while True:
            change_s += self._random.expovariate(rate)
            while (wait_s := change_s - time.monotonic()) > 0:
                await asyncio.sleep(min(wait_s, TICK_S))
                await self._tick()
            now_ms = _now_ms()
            sample = (self._random.randrange(self._signals), now_ms, self._random.random())
            self._batcher.add_samples([sample], now_ms=now_ms)
            await self._tick()

    async def send(self, url: str) -> None:
        """Uplink for ever."""
        async with aiohttp.ClientSession() as session:
            transport = HttpTransport(session, url=url, token=lambda: self._token)
            await Uplink(self._outbox, transport, token=lambda: self._token).run()

    async def _tick(self) -> None:
        self._batcher.tick(time.monotonic_ns() // 1_000_000)
        drafts = self._batcher.take()
        for draft in drafts:
            self._heard.closed(draft)
        await self._outbox.put(drafts)


async def _send_seconds(url: str, sender: Sender, offset_s: float, heard: _Heard) -> None:
    """A batch every second for ever, on an absolute schedule; its times end at the moment of sending."""
    connection = await Connection.open(url)
    draft = Second(signals=10, samples=5).draft(0)
    batch = draft.to_batch(vehicle=sender.vehicle, stream=sender.stream, seq=0)
    span_ms = max(column.dt[-1] for column in batch.signals.values())
    series = Series(sender, draft, t0_ms=0)
    due_s = time.monotonic() + offset_s
    for seq in itertools.count():
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        now_ms = _now_ms()
        body = series.request(seq, now_ms - span_ms)
        heard.sent[sender.vehicle, now_ms] = due_s  # one that is late because of the answer before has waited, too
        await connection.post(body)
        if now_ms >= heard.since_ms:
            heard.baseline.append(1000 * (time.monotonic() - due_s))
        due_s += 1.0


async def _watch(cloud: Stack, session: aiohttp.ClientSession, wish: Mapping[str, Any], hear: Hear) -> None:
    """Follow for ever what the wish names, as a page of the dashboard does."""
    async with session.ws_connect(f"{cloud.web_url}/v1/live", max_msg_size=0) as socket:
        await socket.send_json(wish)
        async for received in socket:
            message = json.loads(received.data)
            assert message["op"] != "error", message
            if message["op"] == "update":
                for vehicle in message["vehicles"]:
                    hear(vehicle["id"], vehicle.get("signals", {}))


@contextmanager
def _without_pauses() -> Iterator[None]:
    """Collecting what a thousand vehicles and their sockets leave behind stops this process for up to 65 ms."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _register(cloud: Stack, vehicles: int) -> list[tuple[str, str]]:
    connection = await connect(cloud.config.database_url)
    try:
        return await add_vehicles(connection, [f"live-{number}" for number in range(vehicles)])
    finally:
        await connection.close()


def _as_admin(cloud: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {cloud.admin_token}"}


def _p99(heard: _Heard) -> Medians:
    return Medians(quantiles(heard.ours, n=100)[-1], quantiles(heard.baseline, n=100)[-1], runs=1)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {
    "live_latency": from_vehicle,
    "live_latency.ingest-to-socket": partial(
        from_ingest, "live_latency.ingest-to-socket", vehicles=200, audience=Audience(20, 10, looked_into=20)
    ),
    "live_latency.ingest-to-socket.1000-vehicles": partial(
        from_ingest,
        "live_latency.ingest-to-socket.1000-vehicles",
        vehicles=1000,
        audience=Audience(100, 10, looked_into=100),
    ),
    "live_latency.ingest-to-socket.all": partial(
        from_ingest, "live_latency.ingest-to-socket.all", vehicles=1000, audience=Audience(100, None, looked_into=1)
    ),
    "live_latency.ingest-to-socket.1000-clients": partial(
        from_ingest,
        "live_latency.ingest-to-socket.1000-clients",
        vehicles=1000,
        audience=Audience(1000, 10, looked_into=100),
    ),
    "live_latency.stalled": partial(stalled, vehicles=200, audience=Audience(100, 10, looked_into=100), stalled=500),
}
