"""What a replay says when it ends: what was played, and everything that was odd."""

from collections.abc import Iterator, Sequence

from simulator.bus_out import BusOut
from simulator.gps_port import GpsPort
from simulator.replay import Played, PlayedDrive, PlayedRecording, Progress

NS_PER_S = 1_000_000_000


def progress_line(progress: Progress) -> str:
    """How far the replay is, in one line."""
    line = f"{progress.at_ns / NS_PER_S:,.0f} s played, {progress.frames:,} frames"
    if progress.fixes:
        line += f", {progress.fixes:,} positions"
    if progress.rounds:
        line += f", round {progress.rounds + 1}"
    if progress.behind_s > 1:
        line += f", {progress.behind_s:,.0f} s behind (more frames than --max-rate lets through)"
    return line


def summary(played: Sequence[Played], progress: Progress, *, bus: BusOut, gps: GpsPort | None) -> list[str]:
    """The lines that the user reads at the end."""
    lines = [f"Played {progress.at_ns / NS_PER_S:,.1f} s: {progress.frames:,} frames, {progress.fixes:,} positions."]
    for one in played:
        lines += _of_drive(one) if isinstance(one, PlayedDrive) else _of_recording(one)
    lines += [f"{count:,} frames of channel {name!r} have no bus (see --map)" for name, count in bus.left_out.items()]
    if gps is not None and gps.dropped:
        lines.append(f"nobody read {gps.link} for a while: unread sentences were dropped {gps.dropped:,} times")
    return lines


def drive_notes(one: PlayedDrive) -> list[str]:
    """What is known to be odd about a drive before it is played."""
    return [f"{one.path}: {one.drive.problems.summary()}"] if one.drive.problems.count else []


def _of_drive(one: PlayedDrive) -> Iterator[str]:
    if one.counts.unknown_signals:
        names = ", ".join(sorted(one.counts.unknown_signals)[:5])
        yield f"{one.path}: {len(one.counts.unknown_signals)} signals are not in the database: {names}"
    if one.counts.clamped:
        yield f"{one.path}: {one.counts.clamped:,} values were beyond their signal's range and sent as its limit"


def _of_recording(one: PlayedRecording) -> Iterator[str]:
    times = one.timeline.counts
    yield from (f"in the recording: {problem}" for problem in one.recording.counts.problems())
    if times.restarts:
        yield f"{times.restarts:,} times the recording's clock goes back; played on without a pause"
    if times.gaps:
        yield f"{times.gaps:,} pauses are longer than --max-gap; shortened to 1 s"
    if times.untimed:
        yield f"{times.untimed:,} frames have no time; sent 1 ms apart"
