"""decode, decode_unchanged: how many CAN frames a second the agent's decoder reads, against cantools.

Both are given the payloads of the same frames in the order of the recording, cantools with its message already looked
up. Their values are compared before anything is measured.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Final, NamedTuple

import cantools
from cantools.database import DecodeError
from cantools.database.can import Database, Message

from bench.figure import Figure, faster_is_better, interleaved, seconds
from bench.recordings import Recorded, kona, obd2_trip, simulated
from edge.decoder import Decoder
from edge.frame import Frame

FRAMES: Final = 40_000
RUNS: Final = 7
_KINDS: Final = (("+", 1, 0), ("+", 0.125, 0), ("-", 0.25, 0), ("+", 1, -40))
_WIDTHS: Final = (1, 1, 2, 3, 4, 4, 8, 12, 5, 3, 8, 6, 2, 4, 1)


class _Work(NamedTuple):
    """Frames that both can decode."""

    databases: Sequence[Database]
    frames: Sequence[tuple[int, bool, bytes]]
    messages: Sequence[Message]


def decode(name: str, recorded: Callable[[], Recorded], *, frames: int = FRAMES, runs: int = RUNS) -> Figure:
    """Frames as they were recorded, repeated payloads included."""
    work = _work(recorded(), frames)
    decoder = Decoder(work.databases)
    repeated = _check_equal(decoder, work)
    note = f"{len(work.frames):,} frames in their order, {repeated:.0%} of them with an unchanged payload"
    return _measure(name, decoder, work, runs, note)


def decode_unchanged(*, frames: int = FRAMES, runs: int = RUNS) -> Figure:
    """One frame of 15 signals again and again."""
    work = _work(fifteen_signals(1), 1)
    repeated = _Work(work.databases, [*work.frames] * frames, [*work.messages] * frames)
    decoder = Decoder(work.databases)
    return _measure("decode_unchanged", decoder, repeated, runs, "one frame of 15 signals, its payload never changes")


def fifteen_signals(frames: int = FRAMES) -> Recorded:
    """A full frame of 15 signals with random payloads: every one changes."""
    lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: ECU", "BO_ 256 Powertrain: 8 ECU"]
    start = 0
    for number, width in enumerate(_WIDTHS):
        sign, scale, offset = _KINDS[number % len(_KINDS)]
        lines.append(f' SG_ Signal{number} : {start}|{width}@1{sign} ({scale},{offset}) [0|0] "" ECU')
        start += width
    database = cantools.database.load_string("\n".join(lines) + "\n", "dbc")
    assert isinstance(database, Database)
    random = Random(15)
    return Recorded([Frame(None, "can0", 256, False, random.randbytes(8)) for _ in range(frames)], [database])


def _measure(name: str, decoder: Decoder, work: _Work, runs: int, note: str) -> Figure:
    count = len(work.frames)

    def ours() -> float:
        return count / seconds(partial(_run_ours, decoder, work))

    def theirs() -> float:
        return count / seconds(partial(_run_cantools, work))

    rates = interleaved(ours, theirs, runs=runs)
    return faster_is_better(name, rates, unit="frames/s", note=note)


def _run_ours(decoder: Decoder, work: _Work) -> None:
    read = decoder.decode
    for arbitration_id, is_extended, data in work.frames:
        read(arbitration_id, is_extended, data)


def _run_cantools(work: _Work) -> None:
    for message, (_, _, data) in zip(work.messages, work.frames, strict=True):
        message.decode(data, decode_choices=False)


def _work(recorded: Recorded, most: int) -> _Work:
    """The first frames that cantools decodes without complaint."""
    messages = {
        (message.frame_id, message.is_extended_frame): message
        for database in recorded.databases
        for message in database.messages
    }
    frames, found = [], []
    for frame in recorded.frames:
        message = messages.get((frame.arbitration_id, frame.is_extended))
        if message is not None and _is_clean(message, frame.data):
            frames.append((frame.arbitration_id, frame.is_extended, frame.data))
            found.append(message)
            if len(frames) == most:
                break
    return _Work(recorded.databases, frames, found)


def _is_clean(message: Message, data: bytes) -> bool:
    if len(data) != message.length:
        return False
    try:
        message.decode(data, decode_choices=False)
    except DecodeError:
        return False
    return True


def _check_equal(decoder: Decoder, work: _Work) -> float:
    """Asserts that both give the same values; returns the share of repeated payloads."""
    unchanged = 0
    for message, (arbitration_id, is_extended, data) in zip(work.messages, work.frames, strict=True):
        decoded = decoder.decode(arbitration_id, is_extended, data)
        assert decoded is not None
        indices, values, changed = decoded
        ours = {decoder.signals[index].signal: value for index, value in zip(indices, values, strict=True)}
        _assert_same(ours, message.decode(data, decode_choices=False))  # type: ignore[arg-type]
        unchanged += not changed
    return unchanged / len(work.frames)


def _assert_same(ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    if ours != theirs and list(map(repr, _items(ours))) != list(map(repr, _items(theirs))):  # NaN differs from itself
        raise AssertionError(f"{ours} is not what cantools gives: {theirs}")


def _items(values: Mapping[str, float]) -> Iterable[tuple[str, float]]:
    return sorted(values.items())


FIGURES: Final[Mapping[str, Callable[[], Figure]]] = {
    "decode.15-signals": partial(decode, "decode.15-signals", fifteen_signals),
    "decode.obd2-trip": partial(decode, "decode.obd2-trip", obd2_trip),
    "decode.kona": partial(decode, "decode.kona", kona),
    "decode.simulated": partial(decode, "decode.simulated", simulated),
    "decode_unchanged": decode_unchanged,
}
