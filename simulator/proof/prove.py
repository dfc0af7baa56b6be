"""The proof itself: play a recording through the real agent, hurt it, and draw up the account.

The agent is a process of its own, killed with SIGKILL and started again where it was in the recording. Its spool lies
on a small disk that is filled, its clock is stepped, and between it and the receiver is a link that fails.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from edge.config import EdgeConfig
from edge.recordings.replay import measure
from simulator.bad_link import GOOD, BadLink, bad_link
from simulator.errors import SimulatorError
from simulator.proof.account import Account, Content, Life, Tally, draw_up
from simulator.proof.receiver import TOKEN, Receiver
from simulator.proof.schedule import KINDS, Fault, Kind, clock_offset_s, draw_faults
from simulator.proof.small_disk import Disk, NoSmallDiskError, fill, small_disk

DISK_BYTES: Final = 32_000_000
SETTLING_S: Final = 300.0
"""How long the agent may take after the last fault, beside the time that the recording takes."""

_LOG_LINES: Final = 5

Say = Callable[[str], None]


class ProofError(SimulatorError):
    """The proof could not be carried to its end."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What is to be proven: settings all of whose buses are replays, over so many seconds."""

    config: EdgeConfig
    seconds: float
    seed: int
    kinds: Collection[Kind] = KINDS


@dataclass(frozen=True, slots=True)
class Finding:
    """How it ended. `done` counts the faults by kind; `left_out` says which could not be made here, and why."""

    account: Account
    done: dict[str, int]
    left_out: dict[str, str]
    took_s: float


async def prove(proof: Proof, *, say: Say, receiver: Receiver | None = None) -> Finding:
    """Raises ProofError if the agent ends by itself or never settles."""
    began_s = time.monotonic()
    counts = await asyncio.to_thread(_measure, proof.config)
    span_s = max(seconds for _, seconds in counts)
    frames = [count for count, _ in counts]
    if not sum(frames):
        raise ProofError("there is no frame in the recording")
    receiver = receiver or Receiver()
    left_out: dict[str, str] = {}
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="fleetwire-proof-")))
        disk = Disk(folder / "disk")
        disk.folder.mkdir()
        if "disk" in proof.kinds:
            try:
                disk = await opened.enter_async_context(small_disk(disk.folder, DISK_BYTES))
            except NoSmallDiskError as missing:
                left_out["disk"] = str(missing)
        port = await opened.enter_async_context(receiver.serve())
        link, near = await opened.enter_async_context(bad_link("127.0.0.1", port))
        speed = max(span_s / proof.seconds, 0.01)
        settings = _settings(proof.config, folder, disk, port=near, speed=speed)
        stand = _Stand(settings, disk, receiver, link, say, began_s, sum(frames), len(frames))
        faults = draw_faults(Random(proof.seed), proof.seconds, [kind for kind in proof.kinds if kind not in left_out])
        try:
            lives = await stand.run(faults, patience_s=2 * proof.seconds + SETTLING_S)
        except BaseExceptionGroup as group:
            if (expected := group.subgroup(ProofError)) is None:
                raise
            raise _first(expected) from None
        await asyncio.to_thread(receiver.commit)
    account = draw_up(sum(frames), lives, receiver.received())
    return Finding(account, stand.done, left_out, time.monotonic() - began_s)


def _measure(config: EdgeConfig) -> list[tuple[int, float]]:
    found = []
    for bus in config.can:
        files = [bus.channel] if isinstance(bus.channel, str) else bus.channel
        found.append(measure([Path(file) for file in files], log_channel=bus.options.get("log_channel")))
    return found


def _settings(config: EdgeConfig, folder: Path, disk: Disk, *, port: int, speed: float) -> Path:
    """The agent's settings in the proof's own surroundings; the customer's spool and token are not touched."""
    token = folder / "token"
    token.write_text(TOKEN)
    changed = config.model_copy(
        update={
            "can": tuple(bus.model_copy(update={"speed": speed, "loop": False}) for bus in config.can),
            "spool": config.spool.model_copy(update={"path": disk.folder / "spool.db", "min_free": 0}),
            "health": config.health.model_copy(update={"interval_s": 0.0}),
            "uplink": config.uplink.model_copy(
                update={
                    "url": f"http://127.0.0.1:{port}",
                    "token_file": token,
                    **dict.fromkeys(("ca_file", "cert_file", "key_file")),
                }
            ),
        }
    )
    path = folder / "settings.json"
    path.write_text(changed.model_dump_json(exclude_none=True))
    return path


@dataclass
class _Stand:
    """The agent's surroundings, and what is done to them."""

    settings: Path
    disk: Disk
    receiver: Receiver
    link: BadLink
    say: Say
    began_s: float
    played: int
    buses: int
    done: dict[str, int] = field(default_factory=dict)
    lives: list[Life] = field(default_factory=list)
    offset_s: float = 0.0
    _process: asyncio.subprocess.Process | None = None
    _is_running: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, faults: Sequence[Fault], *, patience_s: float) -> list[Life]:
        """Lives one after the other, until one has played and settled everything."""
        async with asyncio.TaskGroup() as tasks:
            hurting = tasks.create_task(self._hurt(faults), name="faults")
            telling = tasks.create_task(self._tell_progress(), name="progress")
            try:
                async with asyncio.timeout(patience_s):
                    while await self._live():
                        pass
                    if not hurting.done():
                        self._line("all is played and settled before the last fault came")
            except TimeoutError:
                raise ProofError(
                    f"not everything was settled {patience_s:.0f} s after the beginning: "
                    f"{self._taken:,} of {self.played:,} frames taken, {self.receiver.batches:,} batches committed"
                ) from None
            finally:
                self._end_process()
                hurting.cancel()
                telling.cancel()
        return self.lives

    @property
    def _taken(self) -> int:
        return sum(sum(life.tally.frames) for life in self.lives)

    async def _live(self) -> bool:
        """One run of the agent. Returns whether another has to follow."""
        life = Life()
        taken = [life.tally.frames for life in self.lives if life.tally.frames]
        positions = [sum(counts) for counts in zip(*taken, strict=True)] or [0] * self.buses
        self.lives.append(life)
        log = self.settings.with_name("agent.log")
        with log.open("wb") as errors:
            self._process = process = await asyncio.create_subprocess_exec(
                *self.disk.enter,
                *(sys.executable, "-m", "simulator.proof.agent"),
                str(self.settings),
                json.dumps(positions),
                str(self.offset_s),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                if line.endswith(b"\n"):
                    self._hear(life, json.loads(line))
            status = await process.wait()
        finally:
            self._is_running.clear()
        if life.was_killed:
            return True
        if status:
            raise ProofError(f"the agent ended by itself with {status}; it said last:\n{_last_lines(log)}")
        return False

    def _hear(self, life: Life, said: dict[str, object]) -> None:
        match said:
            case {"tally": dict(tally)}:
                life.tally = Tally(**{**tally, "frames": tuple(tally["frames"])})
                if any(life.tally.frames):
                    self._is_running.set()
            case {"stream": str(stream)}:
                life.streams.append(stream)
            case {"stored": list(stored)}:
                for seq, samples, fixes in stored:
                    life.stored[life.streams[-1], seq] = Content(samples, fixes)

    async def _hurt(self, faults: Sequence[Fault]) -> None:
        last_s = 0.0
        async with asyncio.TaskGroup() as lasting:
            for fault in faults:
                await self._is_running.wait()
                await asyncio.sleep(fault.at_s - last_s)
                await self._is_running.wait()
                last_s = fault.at_s
                self._line(fault.says)
                self.done[fault.kind] = self.done.get(fault.kind, 0) + 1
                await self._do(fault, lasting)
        self._set_clock(0.0)
        self._line("no more faults; everything that is owed is sent now")

    async def _do(self, fault: Fault, lasting: asyncio.TaskGroup) -> None:
        match fault.kind:
            case "kill":
                self.lives[-1].was_killed = True
                self._end_process()
                self._is_running.clear()
            case "clock":
                self._set_clock(clock_offset_s(fault.clock, time.time()))
            case "queue":
                self.receiver.wipe_queue()
            case "disk":
                await asyncio.to_thread(fill, self._filler)
                lasting.create_task(self._later(fault.lasts_s, self._free_disk), name="free the disk")
            case "link" if fault.link is not None:
                self.link.condition = fault.link
                lasting.create_task(self._later(fault.lasts_s, self._mend_link), name="mend the link")

    async def _later(self, seconds: float, what: Callable[[], None]) -> None:
        await asyncio.sleep(seconds)
        what()

    @property
    def _filler(self) -> Path:
        return (self.disk.from_outside or self.disk.folder) / "filler"

    def _free_disk(self) -> None:
        self._filler.unlink(missing_ok=True)

    def _mend_link(self) -> None:
        self.link.condition = GOOD

    def _set_clock(self, offset_s: float) -> None:
        self.offset_s = offset_s
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{offset_s}\n".encode())

    def _end_process(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _tell_progress(self) -> None:
        while True:
            await asyncio.sleep(10.0)
            self._line(f"… {100 * self._taken // self.played} % played, {self.receiver.batches:,} batches committed")

    def _line(self, text: str) -> None:
        self.say(f"{time.monotonic() - self.began_s:6.1f} s  {text}")


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def _last_lines(log: Path) -> str:
    with log.open(errors="replace") as file:
        return "".join(deque(file, _LOG_LINES)).strip()
