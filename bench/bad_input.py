"""bad_input: how long others wait for ingest while it is sent 10,000 malformed requests, against while it is idle.

A process of its own asks /healthz, which the event loop answers between everything else; the 99th percentile of its
waits is the figure. Every 500th request is hostile: deep, wide, long, or a compression bomb. An answer that is
neither a 200 nor a refusal (4xx) ends it.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from bench.damage import damaged, good_bodies, hostile_bodies
from bench.figure import Figure, rounded
from bench.stack import INGEST, running
from cloud.access.accounts import add_vehicles
from cloud.database import make_pool
from wire.stream_id import new_stream

REQUESTS: Final = 10_000
AT_ONCE: Final = 4
HOSTILE_EVERY: Final = 500
IDLE_S: Final = 5.0
SEED: Final = 20_240_229
_VEHICLE: Final = "bad-input"


def bad_input(*, requests: int = REQUESTS, idle_s: float = IDLE_S) -> Figure:
    """One run of so many requests."""
    return asyncio.run(_bad_input(requests, idle_s))


async def _bad_input(requests: int, idle_s: float) -> Figure:
    async with running(INGEST) as stack, make_pool(stack.config.database_url, size=1, name="bench") as pool:
        ((_, token),) = await add_vehicles(pool, [_VEHICLE])
        async with _probing(f"{stack.ingest_url}/healthz") as idle:
            await asyncio.sleep(idle_s)
        async with _probing(f"{stack.ingest_url}/healthz") as busy:
            statuses = await _send_all(stack.ingest_url, token, requests)
    ours, baseline = _p99_ms(busy), _p99_ms(idle)
    answers = ", ".join(f"{count:,} of {status}" for status, count in sorted(statuses.items()))
    note = f"p99 of an answer to others; {len(busy):,} asked while {requests:,} came, {AT_ONCE} at once; {answers}"
    return Figure("bad_input", rounded(ours), "ms", rounded(baseline), rounded(baseline / ours), 1, note)


async def _send_all(url: str, token: str, requests: int) -> Counter[int]:
    rng, stream, statuses = random.Random(SEED), new_stream(0, random.Random(SEED).getrandbits), Counter[int]()
    goods, hostile = good_bodies(_VEHICLE, stream), hostile_bodies(_VEHICLE, stream)
    numbers = iter(range(requests))

    async def send(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body, coding = rng.choice(hostile) if number % HOSTILE_EVERY == 0 else damaged(rng, goods)
            async with session.post("/v1/batches", data=body, headers={"Content-Encoding": coding}) as response:
                await response.read()
                statuses[response.status] += 1
                assert response.status == 200 or 400 <= response.status < 500, (response.status, coding, body[:500])

    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as session:
        await asyncio.gather(*(send(session) for _ in range(AT_ONCE)))
    return statuses


@asynccontextmanager
async def _probing(url: str) -> AsyncIterator[list[float]]:
    """Seconds of each answer, once it is over."""
    found: list[float] = []
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.probe", url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    yield found
    said, _ = await process.communicate(b"")
    found += json.loads(said)


def _p99_ms(took_s: Sequence[float]) -> float:
    return sorted(took_s)[len(took_s) * 99 // 100] * 1000


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {"bad_input": bad_input}
