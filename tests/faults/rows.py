"""The faults, one function each: a seed and an empty folder in, a Result out."""

import asyncio
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import aiohttp

from edge.delivery import CAUSE_EVICTED
from edge.disk import spool_contents, spool_file
from edge.disk.spool_file import WAL_BYTES
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.ways.uplink_http import HttpTransport
from tests.fake_cloud import TOKEN, FakeCloud, serve
from tests.faults.clock_rows import hour, year_1970, year_2038
from tests.faults.disk_log import DiskLog, Note, Unsynced, recording
from tests.faults.link_rows import flaps, half_open, slow, week
from tests.faults.trial import NOW_MS, VEHICLE, Record, Result, exchange, live, recover, store
from wire.envelope import Request

CHECKOUT = Path(__file__).parents[2]
TMPFS_BYTES = 16_000_000
RESERVE_BYTES = 4_000_000


class Impossible(Exception):
    """A fault that cannot be made on this machine; says what is missing."""


class Exhausted(Exception):
    """There are no more trials of this kind: all were made."""


async def kill(seed: int, folder: Path) -> Result:
    """kill -9 of a process that records and sends, once to three times, at any moment."""
    dice = Random(seed)
    record, cloud = Record(), FakeCloud()
    path = folder / "spool.db"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    async with serve(cloud) as url:
        for _ in range(dice.randint(1, 3)):
            ours, theirs = context.Pipe(duplex=False)
            agent = context.Process(target=_record, args=(path, url, dice.getrandbits(32), theirs), daemon=True)
            agent.start()
            theirs.close()
            await _after(ours, record, dice.randint(0, 30))
            await asyncio.sleep(dice.random() * 0.01)
            agent.kill()
            agent.join()
            await _after(ours, record, 10**9)
            ours.close()
    return await recover(path, record, cloud, dice=dice)


async def power_cut(seed: int, folder: Path) -> Result:
    """A drive's writes and syncs are recorded, and the power goes after any of them.

    A million seeds are one drive: the first so many go through every cut, each with all that was not synced, with none
    of it, and with sectors of it at random; in an order that a few seeds spread over the drive. Then it is Exhausted.
    """
    drive, number = divmod(seed, 1_000_000)
    record, cloud, log = await asyncio.to_thread(_recorded, drive)
    at, unsynced = cut_of(number, len(log.operations))
    return await cut(log, record, cloud, at, folder, unsynced=unsynced, dice=Random(seed))


def cut_of(number: int, operations: int) -> tuple[int, Unsynced]:
    """After how many operations the power goes in the trial of that number, and what is on the disk of the rest."""
    total = 3 * (operations + 1)
    if number >= total:
        raise Exhausted
    stride = next(stride for stride in range(max(int(total * 0.618), 1), total) if gcd(stride, total) == 1)
    at, unsynced = divmod(number * stride % total, 3)
    return at, Unsynced(unsynced)


async def cut(
    log: DiskLog, record: Record, cloud: FakeCloud, at: int, folder: Path, *, unsynced: Unsynced, dice: Random
) -> Result:
    """The power goes after `at` operations of the drive."""
    image = folder / "image"
    image.mkdir()
    log.image(image, at, unsynced=unsynced, dice=dice)
    notes = [operation.what for operation in log.operations[:at] if isinstance(operation, Note)]
    known = Record(dict(record.drawn), {key for kind, key in notes if kind == "stored"}, record.evicted)
    before = FakeCloud()
    before.batches = {key: cloud.batches[key] for kind, key in notes if kind == "arrived"}
    before.lost = dict(key for kind, key in notes if kind == "declared")
    return await recover(image / "spool.db", known, before, dice=dice, forced=None)


async def bit_flips(seed: int, folder: Path) -> Result:
    """One to a hundred bits of the spool's file, or of its write-ahead log, are turned over."""
    return await _damaged(seed, folder, _flip, log_too=True)


async def zeroed(seed: int, folder: Path) -> Result:
    """One to four blocks of 4 to 64 kB of the spool's file read as zeros."""
    return await _damaged(seed, folder, _zero)


async def truncated(seed: int, folder: Path) -> Result:
    """The spool's file ends too early."""
    return await _damaged(
        seed, folder, lambda content, dice: content.__delitem__(slice(dice.randrange(len(content)), None))
    )


async def disk_full(seed: int, folder: Path) -> Result:
    """Something else fills the disk while a drive is recorded, and lets go of a part of it again; on a small tmpfs."""
    if seed not in _full:  # ten at once, for a Python of its own costs more than a trial
        first = seed // 10 * 10
        _full.update(zip(range(first, first + 10), await _in_sandbox(first, folder), strict=True))
    return _full[seed]


async def fill_disk(seed: int, folder: Path) -> Result:
    """What `disk_full` does, on the disk that `folder` is on, all of which may be filled."""
    dice = Random(seed)
    record, cloud = Record(), FakeCloud()
    path, filler = folder / "spool.db", folder / "filler"
    spool = Spool.open(path, vehicle=VEHICLE, max_bytes=10**9, now_ms=NOW_MS, reserve_bytes=RESERVE_BYTES)
    with closing(spool):
        outbox = Outbox(spool)
        for phase in range(4):
            for _ in range(dice.randint(10, 30)):
                await store(outbox, spool, record, dice, most_samples=2_000)
                if dice.random() < 0.1:
                    await exchange(outbox, cloud, 0.0, most_batches=dice.randint(1, 8))
            if phase % 2 == 0:
                _fill(filler)
            else:
                os.truncate(filler, dice.randrange(filler.stat().st_size))
        forced = outbox.counts.lost_by_cause[CAUSE_EVICTED]
    filler.unlink(missing_ok=True)
    return await recover(path, record, cloud, dice=dice, forced=forced)


@dataclass(frozen=True)
class Row:
    fault: str
    trial: Callable[[int, Path], Awaitable[Result]]
    may_declare: bool = False


ROWS: Mapping[str, Row] = {
    "kill": Row("kill -9 at a random moment, one to three times", kill),
    "power": Row(
        "power cut after every write and fsync, with all, none or some of what was not synced",
        power_cut,
        may_declare=True,
    ),
    "full": Row("disk full, and freed in part, on a tmpfs of 16 MB", disk_full, may_declare=True),
    "flips": Row("1 to 100 bits of the spool file turned over", bit_flips, may_declare=True),
    "zeros": Row("1 to 4 blocks of up to 64 kB read as zeros", zeroed, may_declare=True),
    "truncated": Row("spool file cut at a random byte", truncated, may_declare=True),
    "flaps": Row("link cut 3 to 12 times, in mid-request too, requests doubled", flaps),
    "half_open": Row("connections that stand and say nothing, or whose answers do not come", half_open),
    "slow": Row("10 bytes a second", slow),
    "clock_hour": Row("clock set by ±1 h, before and after the time is known (samples)", hour),
    "clock_1970": Row("clock that starts in 1970, and falls back to it (samples)", year_1970),
    "clock_2038": Row("clock that passes 2038, and jumps there (samples)", year_2038),
    "week": Row("7 days without network, in every second trial with too small a bound", week, may_declare=True),
}


_full: dict[int, Result] = {}


async def _in_sandbox(first: int, folder: Path) -> list[Result]:
    if shutil.which("bwrap") is None:
        raise Impossible("bwrap is not installed")
    mount = folder / "disk"
    mount.mkdir()
    sandbox = ["bwrap", "--dev-bind", "/", "/", "--size", str(TMPFS_BYTES), "--tmpfs", str(mount)]
    inside = [sys.executable, "-m", "tests.faults", "inside", str(first), str(mount)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*sandbox, *inside, cwd=CHECKOUT, stdout=pipe, stderr=pipe)
    output, problem = await process.communicate()
    if process.returncode and problem.startswith(b"bwrap:"):
        raise Impossible(problem.decode().strip())
    assert process.returncode == 0, problem.decode()
    return [Result(**json.loads(line)) for line in output.splitlines()]


def _record(path: Path, url: str, seed: int, told: Connection) -> None:
    """The process that is killed: store for ever, tell what is stored, and send meanwhile."""

    async def drive() -> None:
        dice = Random(seed)
        record = Record()
        spool = Spool.open(path, vehicle=VEHICLE, max_bytes=10**9, now_ms=NOW_MS)
        outbox = Outbox(spool)
        async with aiohttp.ClientSession() as session:
            transport = HttpTransport(session, url=url, token=lambda: TOKEN)
            uplink = asyncio.create_task(Uplink(outbox, transport, token=lambda: TOKEN).run(), name="uplink")
            while not uplink.done():
                keys = await store(outbox, spool, record, dice)
                told.send_bytes(json.dumps([(*key, record.drawn[key]) for key in keys]).encode())

    asyncio.run(drive())


async def _after(told: Connection, record: Record, messages: int) -> None:
    """Take so many messages, or all until the end."""
    with suppress(EOFError, ConnectionResetError):
        for _ in range(messages):
            for stream, seq, number in json.loads(await asyncio.to_thread(told.recv_bytes)):
                record.drawn[stream, seq] = number
                record.stored.add((stream, seq))


class _NotedCloud(FakeCloud):
    """What arrives is noted before the vehicle hears of it."""

    log = DiskLog()

    def reply(self, request: Request) -> dict[str, Any]:
        before = set(self.batches)
        reply = super().reply(request)
        for key in self.batches.keys() - before:
            self.log.note(("arrived", key))
        for stream, lost in self.lost.items():
            self.log.note(("declared", (stream, lost)))
        return reply


@lru_cache(maxsize=2)
def _recorded(drive: int) -> tuple[Record, FakeCloud, DiskLog]:
    """The same each time, so that one may go on with its cuts another day."""
    dice = Random(drive)
    with tempfile.TemporaryDirectory() as folder, _streams_of(dice):
        return asyncio.run(_recorded_drive(dice, Path(folder)))


async def _recorded_drive(dice: Random, folder: Path) -> tuple[Record, FakeCloud, DiskLog]:
    """Two starts; in the second the bound is so small that batches have to go."""
    record, cloud = Record(), _NotedCloud()
    with recording() as log:
        cloud.log = log
        for max_bytes, puts in ((10**9, 20), (3 * WAL_BYTES + 200_000, 20)):
            path = folder / "spool.db"
            with closing(Spool.open(path, vehicle=VEHICLE, max_bytes=max_bytes, now_ms=NOW_MS)) as spool:
                outbox = Outbox(spool)
                for _ in range(puts):
                    for key in await store(outbox, spool, record, dice, most_samples=1_500):
                        log.note(("stored", key))
                    record.note_evicted(spool)
                    if dice.random() < 0.3:
                        await exchange(outbox, cloud, 0.0, most_batches=dice.randint(1, 8))
    return record, cloud, log


@contextmanager
def _streams_of(dice: Random) -> Iterator[None]:
    """Streams are named by the dice, so that a drive writes the same bytes each time."""
    usual = spool_contents.new_stream
    spool_contents.new_stream = lambda now_ms: str(UUID(int=dice.getrandbits(128), version=4))
    try:
        yield
    finally:
        spool_contents.new_stream = usual


async def _damaged(
    seed: int, folder: Path, damage: Callable[[bytearray, Random], object], *, log_too: bool = False
) -> Result:
    dice = Random(seed)
    record, cloud = Record(), FakeCloud()
    path, copy = folder / "spool.db", folder / "copy"
    copy.mkdir()
    for _ in range(dice.randint(1, 3)):
        await live(path, record, cloud, dice, puts=dice.randint(1, 60), done=0.1)
    with closing(Spool.open(path, vehicle=VEHICLE, max_bytes=10**9, now_ms=NOW_MS)) as spool:
        outbox = Outbox(spool)
        for _ in range(dice.randint(0, 20)):
            await store(outbox, spool, record, dice)
        for file in folder.glob("spool.db*"):  # as a kill leaves them
            shutil.copy(file, copy)
    log = copy / "spool.db-wal"
    victim = log if log_too and log.stat().st_size and dice.random() < 0.3 else copy / "spool.db"
    content = bytearray(victim.read_bytes())
    damage(content, dice)
    victim.write_bytes(content)
    with _checked_like_a_large_one() if seed % 2 else nullcontext():
        return await recover(copy / "spool.db", record, deepcopy(cloud), dice=dice, forced=None)


@contextmanager
def _checked_like_a_large_one() -> Iterator[None]:
    """Only in part at the opening; the rest shows while the agent runs."""
    usual = spool_file.CHECKED_BYTES
    spool_file.CHECKED_BYTES = 0
    try:
        yield
    finally:
        spool_file.CHECKED_BYTES = usual


def _flip(content: bytearray, dice: Random) -> None:
    for _ in range(dice.choice((1, 1, 3, 10, 100))):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def _zero(content: bytearray, dice: Random) -> None:
    for _ in range(dice.randint(1, 4)):
        size = 4096 * dice.choice((1, 2, 4, 16))
        start = dice.randrange(0, len(content), 4096)
        end = min(start + size, len(content))
        content[start:end] = bytes(end - start)


def _fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
