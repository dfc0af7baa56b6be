"""Ingest and writer inside the test's own loop, over real services, and a sender to talk to them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import asyncpg

from cloud.access.accounts import add_vehicles
from cloud.config import CloudConfig
from cloud.ingest import process as ingest_process
from cloud.running.local_broker import broker_passwords
from cloud.writer import process as writer_process
from wire.codec import encode_batch
from wire.model import Batch, Column

T0_MS = 1_780_000_000_000
PATIENCE_S = 30


def settings(database_url: str, redis_url: str, **more: Any) -> CloudConfig:
    usual = {"home": Path("/nowhere"), "ingest_port": 0, "osmand_port": 0, "writer_port": 0, "web_port": 0}
    return CloudConfig(database_url=database_url, redis_url=redis_url, **usual | more)


def running_ingest(config: CloudConfig) -> AbstractAsyncContextManager[str]:
    """Gives the address."""
    return _running(partial(ingest_process.run, passwords=broker_passwords(config)), config)


def running_writer(config: CloudConfig) -> AbstractAsyncContextManager[str]:
    return _running(writer_process.run, config)


@asynccontextmanager
async def _running(run: Callable[..., Awaitable[None]], config: CloudConfig) -> AsyncIterator[str]:
    stop = asyncio.Event()
    said: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run(config, stop, said.put_nowait))
        try:
            async with asyncio.timeout(PATIENCE_S):
                line = await said.get()
            yield next(word for word in line.split() if word.startswith("http")).removesuffix("/metrics")
        finally:
            stop.set()


async def add_vehicle(database_url: str, vehicle: str = "truck-1") -> str:
    """Registers it and returns a device token."""
    connection = await asyncpg.connect(database_url)
    try:
        ((_, token),) = await add_vehicles(connection, [vehicle])
    finally:
        await connection.close()
    return token


async def eventually(check: Callable[[], Awaitable[Any]]) -> Any:
    """What `check` finds, as soon as it finds something."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if found := await check():
                return found
            await asyncio.sleep(0.02)


async def fetch(database_url: str, query: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetch(query, *arguments)
    finally:
        await connection.close()


def make_batch(seq: int, stream: str, *, vehicle: str = "truck-1", samples: int = 10, **more: Any) -> Batch:
    """Samples of two signals whose values tell which batch they are of."""
    dt = list(range(0, samples * 100, 100))
    columns = {
        "Engine.Speed": Column(dt=dt, v=[seq + index / 100 for index in range(samples)]),
        "Engine.Load": Column(dt=dt, v=[-seq - index / 100 for index in range(samples)]),
    }
    return Batch(
        **{"vehicle": vehicle, "stream": stream, "seq": seq, "t0": T0_MS + seq * 1000, "signals": columns} | more
    )


@dataclass
class Sender:
    """A vehicle that posts what it is told to, and sends again until it is settled."""

    address: str
    token: str
    vehicle: str = "truck-1"
    stream: str = field(default_factory=lambda: str(uuid.uuid4()))

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(
            self.address, headers={"Authorization": f"Bearer {self.token}"}, timeout=aiohttp.ClientTimeout(30)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def post(self, path: str, data: bytes | str, **headers: str) -> tuple[int, Any]:
        async with self.session.post(path, data=data, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def send(self, batches: Sequence[Batch | bytes], *claims: str) -> tuple[int, Any]:
        """Claims are JSON."""
        bodies = [batch if isinstance(batch, bytes) else encode_batch(batch) for batch in batches]
        body = b'{"batches":[%s],"streams":[%s]}' % (b",".join(bodies), ",".join(claims).encode())
        return await self.post("/v1/batches", body)

    async def settle(self, batches: Sequence[Batch], *, next: int) -> dict[str, Any]:
        """Sends what is not settled again and again until all is; returns the settled state."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                claim = f'{{"stream":"{self.stream}","next":{next}}}'
                try:
                    status, reply = await self.send(batches, claim)
                except (aiohttp.ClientError, OSError):
                    status, reply = 0, {}
                if status == 200 and reply["settled"] and reply["settled"][0]["upto"] == next - 1:
                    settled: dict[str, Any] = reply["settled"][0]
                    return settled
                await asyncio.sleep(0.02)
