import itertools
import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.buses.open_bus import open_bus
from edge.frame import Frame
from edge.frame_source import ReaderError
from edge.recordings import replay
from edge.recordings.drive import DriveError
from edge.recordings.log_file import RecordingError
from edge.recordings.replay import ReplayReader

START_NS = 1_700_000_000_000_000_000


@dataclass
class SteppedClock:
    """Time passes only by sleeping, and by what the one who takes frames needs."""

    now_ns: int = 0

    def time_ns(self) -> int:
        return START_NS + self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


async def test_frames_are_stamped_after_they_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch of the millisecond before may be closed by then."""
    clock = SteppedClock()

    def take(frames: Iterator[Frame]) -> list[Frame]:
        clock.now_ns += 1_000_000_000
        return list(islice(frames, 2))

    monkeypatch.setattr(replay, "_take", take)
    path = _log(tmp_path, [100.0, 100.0, 100.0, 100.0, 100.0])
    assert await _times_s(ReplayReader([path], name="can0", speed=0, clock=clock)) == [1.0, 1.0, 2.0, 2.0, 3.0]


async def test_frames_are_stamped_with_the_time_at_which_they_are_received(tmp_path: Path) -> None:
    path = _log(tmp_path, [100.0, 100.5, 102.0])
    assert await _times_s(ReplayReader([path], name="can0", clock=SteppedClock())) == [0.0, 0.5, 2.0]


async def test_speed_divides_the_time(tmp_path: Path) -> None:
    path = _log(tmp_path, [100.0, 100.5, 102.0])
    assert await _times_s(ReplayReader([path], name="can0", speed=2, clock=SteppedClock())) == [0.0, 0.25, 1.0]


async def test_a_frame_is_never_delivered_before_its_time(tmp_path: Path) -> None:
    clock = SteppedClock()
    reader = ReplayReader([_log(tmp_path, [number / 300 for number in range(300)])], name="can0", clock=clock)
    async with reader:
        async for frames in reader:
            assert (frames[-1].t_ns or 0) <= clock.time_ns()


async def test_speed_zero_does_not_wait(tmp_path: Path) -> None:
    clock = SteppedClock()
    reader = ReplayReader([_log(tmp_path, [0.0, 1000.0, 2000.0])], name="can0", speed=0, clock=clock)
    assert await _times_s(reader) == [0.0, 0.0, 0.0]
    assert clock.now_ns == 0


async def test_a_slow_taker_delays_the_replay_and_loses_nothing(tmp_path: Path) -> None:
    clock = SteppedClock()
    reader = ReplayReader([_log(tmp_path, [0.0, 1.0, 2.0, 3.0])], name="can0", clock=clock)
    times: list[float] = []
    async with reader:
        async for frames in reader:
            times += [((frame.t_ns or 0) - START_NS) / 1e9 for frame in frames]
            if len(times) == 2:
                clock.now_ns += 10_000_000_000
    assert times == [0.0, 1.0, 11.0, 12.0]


async def test_a_loop_goes_on_with_rising_times(tmp_path: Path) -> None:
    reader = ReplayReader([_log(tmp_path, [50.0, 51.0])], name="can0", loop=True, clock=SteppedClock())
    times: list[int] = []
    async with reader:
        async for frames in reader:
            times += [frame.t_ns or 0 for frame in frames]
            if len(times) >= 7:
                break
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


async def test_an_empty_round_ends_the_loop(tmp_path: Path) -> None:
    reader = ReplayReader([_log(tmp_path, [1.0])], name="can0", loop=True, log_channel="can7", clock=SteppedClock())
    assert await _times_s(reader) == []


async def test_one_channel_of_a_log_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "two.log"
    path.write_text("(1.0) can0 123#00\n(1.0) can1 456#01\n")
    async with open_bus(_settings(str(path), log_channel="can1")) as reader:
        frames = [frame async for batch in reader for frame in batch]
    assert [frame.arbitration_id for frame in frames] == [0x456]


async def test_a_pattern_names_several_recordings(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.log").write_text(f"({number}.0) can0 123#0{number}\n")
    async with open_bus(_settings(str(tmp_path / "*.log"))) as reader:
        assert [frame.data[0] async for batch in reader for frame in batch] == [0, 1, 2]


async def test_several_files_are_played_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    paths = [_log(tmp_path, [5.0], name="b.log"), _log(tmp_path, [1.0], name="a.log")]
    async with open_bus(_settings([str(path) for path in paths])) as reader:
        assert len([frame async for batch in reader for frame in batch]) == 2


async def test_a_drive_is_played_as_frames_of_its_database(tmp_path: Path) -> None:
    path = tmp_path / "drive.json"
    path.write_text(
        '[{"vehicle": "a", "lat": 48.1, "lng": 11.5, "speed": 50, "time": "2026-01-01T00:00:00Z"}, '
        '{"vehicle": "a", "lat": 48.2, "lng": 11.5, "speed": 50, "time": "2026-01-01T00:00:01Z"}]'
    )
    async with open_bus(_settings(str(path), name="pt")) as reader:
        frames = [frame async for batch in reader for frame in batch]
    assert frames
    assert {frame.channel for frame in frames} == {"pt"}


async def test_an_endless_drive_is_made_while_it_is_played(tmp_path: Path) -> None:
    path = tmp_path / "drive.json"
    signals = {"EngineData.EngineSpeed": {"t": [0], "v": [800]}}
    path.write_text(json.dumps({"format": "fleetwire-drive", "version": 1, "duration": 1e12, "signals": signals}))
    async with open_bus(_settings(str(path))) as reader, aclosing(aiter(reader)) as batches:
        assert len(await anext(batches)) > 0


async def test_a_drive_that_its_database_does_not_know_is_an_error_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "drive.json"
    path.write_text('{"format": "fleetwire-drive", "version": 1, "signals": {"No.Such": {"t": [0], "v": [1]}}}')
    with pytest.raises(DriveError, match="none of the drive's signals"):
        async with open_bus(_settings(str(path))):
            pass


@pytest.mark.parametrize(("name", "error"), [("none.log", RecordingError), ("none.json", DriveError)])
async def test_a_file_that_is_not_there_is_an_error_at_the_start(
    tmp_path: Path, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="No such file"):
        async with open_bus(_settings(str(tmp_path / name))):
            pass


@pytest.mark.parametrize(
    ("channel", "options", "problem"),
    [
        ("none/*.log", {}, "no file matches"),
        ("a.log", {"bitrate": 500_000}, "has no setting 'bitrate'"),
        ("a.log", {"log_chanel": "1"}, "did you mean 'log_channel'"),
    ],
)
def test_wrong_settings_are_an_error(channel: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ReaderError, match=problem):
        open_bus(_settings(channel, **options))


def _settings(channel: str | list[str], *, name: str | None = None, **options: object) -> Any:
    return SimpleNamespace(
        interface="replay", channel=channel, name=name, listen_only=True, speed=0, loop=False, options=options
    )


def _log(folder: Path, times_s: list[float], *, name: str = "drive.log") -> Path:
    path = folder / name
    path.write_text("".join(f"({time_s:.9f}) can0 123#01\n" for time_s in times_s))
    return path


async def _times_s(reader: ReplayReader) -> list[float]:
    frames: list[Frame] = []
    async with reader:
        async for batch in reader:
            frames += batch
    return [((frame.t_ns or 0) - START_NS) / 1e9 for frame in frames]
