"""write, write_direct: rows a second through the writer's transaction, against a bare COPY into the same hypertable.

Ours is `cloud.telemetry.store.Store.commit`: ledger, samples, latest values, dirty spans and journal in one transaction
for each group. The baseline copies as many rows of the same shape, sorted as ours, packed beforehand, in as many
transactions.
Both write to vehicles of their own in one chunk of TimescaleDB, in turns, each after a checkpoint.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bench.figure import Figure, Unavailable, faster_is_better, interleaved_async
from bench.stack import fresh_database, running
from bench.synthetic import Second
from cloud.access.accounts import add_vehicles
from cloud.database import Connection, Pool, inspect, make_pool
from cloud.telemetry.copy_format import Column, fixed_rows, timestamps
from cloud.telemetry.facts import Facts, facts_of
from cloud.telemetry.packed_columns import can_pack, ensure_columns, pack_copies
from cloud.telemetry.store import Arrival, Store

RUNS: Final = 5
_STREAM: Final = "0199c0de-0000-7000-8000-{:012x}"
_COLUMNS: Final = ("ts", "vehicle_id", "signal_id", "value", "q")


@dataclass(frozen=True)
class Shape:
    """What is written in one run: groups as the writer commits them, a batch of each vehicle in each."""

    groups: int = 10
    vehicles: int = 100
    second: Second = Second()  # noqa: RUF009 - frozen

    @property
    def rows_per_group(self) -> int:
        return self.vehicles * self.second.count

    @property
    def rows(self) -> int:
        return self.groups * self.rows_per_group


BULK: Final = Shape(vehicles=4, second=Second(samples=625))
"""As it comes after a while without network: much of each signal."""
SERVER: Final = "FLEETWIRE_BENCH_DATABASE_URL"


def write(*, shape: Shape = Shape(), runs: int = RUNS) -> Figure:
    """A fresh database; a run of either kind before those that count."""
    return asyncio.run(_write("write", shape, runs))


def write_direct(*, shape: Shape = BULK, runs: int = RUNS) -> Figure:
    """On the community server that FLEETWIRE_BENCH_DATABASE_URL names, whose database is made for it and removed."""
    if not (server := os.environ.get(SERVER)):
        raise Unavailable(f"set {SERVER} to the address of a TimescaleDB community server, 2.21 or newer")
    return asyncio.run(_write_direct(server, shape, runs))


async def _write_direct(server: str, shape: Shape, runs: int) -> Figure:
    async with fresh_database(server) as url:
        return await _write("write_direct", shape, runs, database_url=url)


async def _write(name: str, shape: Shape, runs: int, *, database_url: str | None = None) -> Figure:
    async with (
        running(database_url=database_url) as stack,
        make_pool(stack.config.database_url, size=2, name="bench") as pool,
    ):
        direct = database_url is not None
        version = await _prepare(pool, packing=direct)
        ours = _Ours(pool, shape)
        await add_vehicles(pool, ours.vehicles)
        await ours.run()
        baseline = await Baseline.prepare(pool, shape, packed=direct)
        await baseline.run()
        rates = await interleaved_async(ours.run, baseline.run, runs=runs)
        await _check_count(pool, expected=2 * (runs + 1) * shape.rows)
    note = (
        f"{shape.rows:,} rows a run in transactions of {shape.rows_per_group:,}: {shape.vehicles} vehicles' batches of "
        f"1 s with {shape.second.signals} signals; fsync on; {version}"
    )
    return faster_is_better(name, rates, unit="rows/s", note=note)


async def _prepare(pool: Pool, *, packing: bool) -> str:
    """As the writer does at its start; what the server is. Raises Unavailable for one that does not pack."""
    async with pool.acquire() as connection:
        await ensure_columns(connection)
        if packing and not await can_pack(connection):
            raise Unavailable("the server does not pack while it copies: it is no community edition from 2.21 on")
        server = await inspect(connection)
        return f"TimescaleDB {server.timescaledb} {'community' if server.community else 'Apache'} edition"


class _Ours:
    """The writer's store, given what the writer would have read."""

    def __init__(self, pool: Pool, shape: Shape) -> None:
        self.vehicles = [f"write-{number}" for number in range(shape.vehicles)]
        self._pool = pool
        self._store = Store(pool)
        self._shape = shape
        self._facts = [_facts(shape, number) for number in range(shape.vehicles)]
        self._seq = 0

    async def run(self) -> float:
        """Rows a second of one run."""
        groups = [self._group() for _ in range(self._shape.groups)]
        await _checkpoint(self._pool)
        began = time.perf_counter()
        stored = [await self._store.commit(group) for group in groups]
        took_s = time.perf_counter() - began
        assert sum(one.samples for one in stored) == self._shape.rows
        return self._shape.rows / took_s

    def _group(self) -> list[Arrival]:
        shift_ms = 1000 * self._seq
        arrivals = [
            Arrival(vehicle, _STREAM.format(number), self._seq, replace(facts, t_ms=facts.t_ms + shift_ms))
            for number, (vehicle, facts) in enumerate(zip(self.vehicles, self._facts, strict=True))
        ]
        self._seq += 1
        return arrivals


class Baseline:
    """COPY and nothing else; `packed` as columns at once."""

    def __init__(
        self, pool: Pool, shape: Shape, vehicle_ids: Sequence[int], signal_ids: Sequence[int], *, packed: bool
    ) -> None:
        self._pool = pool
        self._packed = packed
        self._shape = shape
        facts = [_facts(shape, number) for number in range(shape.vehicles)]
        self._vehicles = np.repeat(np.array(vehicle_ids, np.int32), shape.second.count)
        self._signals = np.tile(np.repeat(np.array(signal_ids, np.int32), shape.second.samples), shape.vehicles)
        self._t_ms = np.concatenate([one.t_ms for one in facts])
        self._values = np.concatenate([one.values for one in facts])
        self._seq = 0

    @classmethod
    async def prepare(cls, pool: Pool, shape: Shape, *, packed: bool = False) -> "Baseline":
        """Vehicles of its own; the signals are there since ours wrote them."""
        await add_vehicles(pool, [f"copy-{number}" for number in range(shape.vehicles)])
        vehicles = await pool.fetch("SELECT id FROM vehicles WHERE ident LIKE 'copy-%' ORDER BY id")
        signals = await pool.fetch("SELECT id FROM signals ORDER BY id")
        return cls(pool, shape, [row["id"] for row in vehicles], [row["id"] for row in signals], packed=packed)

    async def run(self) -> float:
        """Rows a second of one run."""
        groups = [self._group() for _ in range(self._shape.groups)]
        await _checkpoint(self._pool)
        async with self._pool.acquire() as connection:
            began = time.perf_counter()
            for group in groups:
                async with connection.transaction():
                    if self._packed:
                        await pack_copies(connection, True)
                    await _copy(connection, group)
            return self._shape.rows / (time.perf_counter() - began)

    def _group(self) -> list[bytes]:
        columns = [
            Column(timestamps(self._t_ms + 1000 * self._seq)),
            Column(self._vehicles),
            Column(self._signals),
            Column(self._values),
            Column(np.zeros(len(self._t_ms), np.int16), null=np.ones(len(self._t_ms), np.bool_)),
        ]
        self._seq += 1
        return list(fixed_rows(columns))


def _facts(shape: Shape, number: int) -> Facts:
    return facts_of(shape.second.draft(number).to_batch(vehicle="any", stream=_STREAM.format(number), seq=0))


async def _checkpoint(pool: Pool) -> None:
    """Both begin with the same debt to the disk."""
    await pool.execute("CHECKPOINT")


async def _copy(connection: Connection, chunks: Sequence[bytes]) -> None:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    await connection.copy_to_table("samples", source=source(), columns=_COLUMNS, format="binary")


async def _check_count(pool: Pool, *, expected: int) -> None:
    count = await pool.fetchval("SELECT count(*) FROM samples")
    assert count == expected, f"{count} rows are stored, not {expected}"


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {"write": write, "write_direct": write_direct}
