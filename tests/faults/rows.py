"""The faults, one function each: a seed and an empty folder in, a Result out."""

import asyncio
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from copy import deepcopy
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from edge import spool_file
from edge.outbox import Outbox
from edge.spool import Spool
from edge.uplink import Uplink
from edge.uplink_http import HttpTransport
from tests.fake_cloud import TOKEN, FakeCloud, serve
from tests.faults.disk_log import DiskLog, Note, recording
from tests.faults.trial import NOW_MS, VEHICLE, Record, Result, exchange, live, recover, store
from wire.envelope import Request

CHECKOUT = Path(__file__).parents[2]
TMPFS_BYTES = 16_000_000
RESERVE_BYTES = 4_000_000


class Impossible(Exception):
    """A fault that cannot be made on this machine; says what is missing."""


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
    """A drive's writes and syncs are recorded; the power goes after any of them, with unsynced sectors at random."""
    dice = Random(seed)
    record, cloud, log = await _recorded_drive(Random(seed // 1000), folder)
    share = seed * 617 % 1000 / 1000  # a thousand seeds in a row go through the drive, ten are spread over it
    return await cut(log, record, cloud, int(share * (len(log.operations) + 1)), folder, dice=dice)


async def cut(
    log: DiskLog, record: Record, cloud: FakeCloud, at: int, folder: Path, *, dice: Random, torn: bool = True
) -> Result:
    """The power goes after `at` operations of the drive."""
    image = folder / "image"
    shutil.rmtree(image, ignore_errors=True)
    image.mkdir()
    log.image(image, at, dice=dice if torn else None)
    notes = [operation.what for operation in log.operations[:at] if isinstance(operation, Note)]
    known = Record(dict(record.drawn), {key for kind, key in notes if kind == "stored"})
    before = FakeCloud()
    before.batches = {key: cloud.batches[key] for kind, key in notes if kind == "arrived"}
    return await recover(image / "spool.db", known, before, dice=dice)


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
    filler.unlink(missing_ok=True)
    return await recover(path, record, cloud, dice=dice)


@dataclass(frozen=True)
class Row:
    fault: str
    trial: Callable[[int, Path], Awaitable[Result]]
    may_declare: bool = False


ROWS: Mapping[str, Row] = {
    "kill": Row("kill -9 at a random moment, one to three times", kill),
    "power": Row("power cut after any write or fsync, unsynced sectors at random", power_cut),
    "full": Row("disk full, and freed in part, on a tmpfs of 16 MB", disk_full, may_declare=True),
    "flips": Row("1 to 100 bits of the spool file turned over", bit_flips, may_declare=True),
    "zeros": Row("1 to 4 blocks of up to 64 kB read as zeros", zeroed, may_declare=True),
    "truncated": Row("spool file cut at a random byte", truncated, may_declare=True),
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
        return reply


async def _recorded_drive(dice: Random, folder: Path) -> tuple[Record, FakeCloud, DiskLog]:
    record, cloud = Record(), _NotedCloud()
    with (
        recording() as log,
        closing(Spool.open(folder / "spool.db", vehicle=VEHICLE, max_bytes=10**9, now_ms=NOW_MS)) as spool,
    ):
        cloud.log = log
        outbox = Outbox(spool)
        for _ in range(40):
            for key in await store(outbox, spool, record, dice, most_samples=1_500):
                log.note(("stored", key))
            if dice.random() < 0.3:
                await exchange(outbox, cloud, 0.0, most_batches=dice.randint(1, 8))
    return record, cloud, log


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
        return await recover(copy / "spool.db", record, deepcopy(cloud), dice=dice)


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
