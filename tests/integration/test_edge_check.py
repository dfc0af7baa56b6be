"""`fleetwire edge check` on a replay, a pty and a cloud in memory."""

import asyncio
import json
import os
import threading
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import can
import pytest
from click.testing import CliRunner

from edge.clock.clock_trust import Trust
from edge.config import load_edge_config
from edge.service.check import check_all
from edge.service.check_system import check_clock, check_disk
from edge.service.check_uplink import check_uplink
from edge.service.finding import Finding
from fleetwire.edge import edge
from tests.fake_cloud import TOKEN, FakeCloud, serve

DBC = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Count : 0|32@1+ (1,0) [0|0] "" Vector__XXX
"""
REPLAY = """
[[can]]
interface = "replay"
channel = "drive.log"
speed = 0
dbc = ["vehicle.dbc"]
"""
FIX = b"$GPRMC,101500.00,A,4807.0380,N,01131.0000,E,10.0,084.4,230394,,,A*54\r\n"
NO_FIX = b"$GPRMC,101500.00,V,,,,,,,230394,,,N*7B\r\n"


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serve(FakeCloud()) as url:
        yield url


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "vehicle.dbc").write_text(DBC)
    (tmp_path / "token").write_text(TOKEN)
    lines = [f"({1_600_000_000 + number / 100:.6f}) can0 100#{number:016x}\n" for number in range(20)]
    (tmp_path / "drive.log").write_text("".join(lines))
    return tmp_path


def configure(home: Path, url: str, sources: str = REPLAY) -> Path:
    path = home / "edge.toml"
    path.write_text(f'vehicle = "v1"\n{sources}\n[uplink]\nurl = "{url}"\ntoken_file = "token"\n')
    return path


async def check(path: Path, seconds: float = 0.5) -> list[Finding]:
    return [finding async for finding in check_all(load_edge_config(path), listen_s=seconds)]


def about(findings: list[Finding], what: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.found) for finding in findings if finding.what.startswith(what)]


async def test_all_is_well(home: Path, url: str) -> None:
    findings = await check(configure(home, url))
    assert [finding for finding in findings if finding.level == "problem"] == []
    assert about(findings, "settings") == [("ok", "vehicle v1, 1 buses with 1 signals")]
    assert about(findings, "bus drive.log")[0][1].startswith("20 frames")
    assert about(findings, "uplink")[0][1].endswith("accepts the credential")
    assert not (home / "spool.db").exists()


async def test_live_bus_is_listened_to(home: Path, url: str) -> None:
    sources = '[[can]]\ninterface = "virtual"\nchannel = "check-live"\ndbc = ["vehicle.dbc"]\n'
    with can.Bus("check-live", "virtual") as bus:
        loop = asyncio.get_running_loop()

        def send() -> None:
            bus.send(can.Message(arbitration_id=0x100, data=bytes(8), is_extended_id=False))
            timers.append(loop.call_later(0.02, send))

        timers: list[asyncio.TimerHandle] = []
        send()
        findings = await check(configure(home, url, sources))
        timers[-1].cancel()
    assert about(findings, "bus check-live")[0][0] == "ok"
    findings = await check(configure(home, url, sources), 0.1)
    assert about(findings, "bus check-live") == [("problem", "no frame in 0.1 s")]


@contextmanager
def receiver(*lines: bytes) -> Iterator[str]:
    """A pty whose receiver says its lines again and again."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    ended = threading.Event()

    def speak() -> None:
        while not ended.wait(0.02):
            for line in lines:
                os.write(ours, line)

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        yield os.ttyname(theirs)
    finally:
        ended.set()
        speaker.join()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("lines", "level", "words"),
    [
        ([FIX.replace(b"101500", b"10150%d" % n).rpartition(b"*")[0] for n in range(2)], "ok", "fixes in"),
        ([NO_FIX.rpartition(b"*")[0]], "note", "has no fix yet"),
        ([b"$GPRMC,1015\x00\xff,A*00"], "problem", "garbled"),
        ([], "problem", "not one sentence"),
    ],
)
async def test_receiver_is_listened_to(home: Path, url: str, lines: list[bytes], level: str, words: str) -> None:
    spoken = [line + b"\r\n" if b"*" in line else _sentence(line) for line in lines]
    with receiver(*spoken) as device:
        findings = await check(configure(home, url, f'[gps]\ndevice = "{device}"'))
    [(said, found)] = about(findings, "gps")
    assert (said, words in found) == (level, True), found


@pytest.mark.parametrize(
    ("sources", "what", "words"),
    [
        ('[gps]\ndevice = "/dev/nothing"', "gps", "No such file"),
        (REPLAY.replace("vehicle.dbc", "other.dbc"), "settings", "other.dbc"),
        (REPLAY.replace("drive.log", "other.log"), "bus", "other.log"),
        ('[[can]]\ninterface = "socketcan"\nchannel = "can77"\ndbc = ["vehicle.dbc"]', "bus can77", ""),
    ],
)
async def test_what_is_not_there_is_a_problem(home: Path, url: str, sources: str, what: str, words: str) -> None:
    problems = [one for one in await check(configure(home, url, sources), 0.1) if one.level == "problem"]
    assert problems[0].what.startswith(what)
    assert words in problems[0].found
    assert problems[0].advice


async def test_uplink_is_judged_by_what_it_answers(url: str) -> None:
    def now() -> datetime:
        return datetime.now(UTC)

    [refused] = await check_uplink(url, lambda: "fwd_wrong", now=now)
    assert (refused.level, "refuses the credential" in refused.found) == ("problem", True)
    [away] = await check_uplink("http://127.0.0.1:1", lambda: TOKEN, now=now)
    assert (away.level, "does not answer" in away.found) == ("problem", True)
    assert "cannot connect to 127.0.0.1:1: Connect" in away.found
    [elsewhere] = await check_uplink(f"{url}/else", lambda: TOKEN, now=now)
    assert (elsewhere.level, "answers 404" in elsewhere.found) == ("problem", True)
    good, skewed = await check_uplink(url, lambda: TOKEN, now=lambda: now() - timedelta(hours=1))
    assert (good.level, skewed.level) == ("ok", "problem")
    assert "behind the cloud's" in skewed.found


@pytest.mark.parametrize(
    ("year", "synchronised", "trust", "keeps_time", "level", "says"),
    [
        (1970, True, "auto", True, "problem", "cannot be"),
        (2026, True, "strict", False, "ok", "synchronised"),
        (2026, None, "auto", False, "ok", "believed"),
        (2026, False, "system", False, "ok", "believed"),
        (2026, False, "auto", True, "note", "nothing keeps it right"),
        (2026, False, "auto", False, "note", "batches wait"),
        (2026, None, "strict", True, "note", "batches wait"),
        (2038, True, "auto", True, "ok", "synchronised"),
    ],
)
def test_clock_is_judged_as_the_agent_believes_it(
    year: int, synchronised: bool | None, trust: Trust, keeps_time: bool, level: str, says: str
) -> None:
    now = datetime(year, 2, 1, tzinfo=UTC)
    found = check_clock(now, synchronised=synchronised, trust=trust, keeps_time=keeps_time)
    assert (found.level, says in found.found) == (level, True)


def test_disk_that_cannot_hold_the_spool_is_a_problem(tmp_path: Path) -> None:
    assert {one.level for one in check_disk(tmp_path / "made" / "later" / "spool.db", max_bytes=10**6)} <= {
        "ok",
        "note",
    }
    assert check_disk(tmp_path / "spool.db", max_bytes=10**18)[-1].level == "problem"
    assert check_disk(Path("/proc/spool.db"), max_bytes=10**6)[0].level == "problem"


async def test_command_tells_by_its_exit_status(home: Path, url: str) -> None:
    def invoke(*arguments: str) -> tuple[int, str]:
        path = str(configure(home, url))
        result = CliRunner().invoke(edge, ["check", "--config", path, "--seconds", "0.3", *arguments])
        return result.exit_code, result.stdout

    code, text = await asyncio.to_thread(invoke)
    assert (code, text.splitlines()[-1]) == (0, "all is well")
    (home / "token").write_text("fwd_wrong")
    code, text = await asyncio.to_thread(invoke, "--json")
    told: dict[str, Any] = json.loads(text)
    assert (code, told["ok"]) == (1, False)
    assert [one["what"] for one in told["findings"] if one["level"] == "problem"] == ["uplink"]


def _sentence(line: bytes) -> bytes:
    checksum = 0
    for byte in line[1:]:
        checksum ^= byte
    return b"%s*%02X\r\n" % (line, checksum)
