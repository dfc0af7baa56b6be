"""Frames that come again are known by channel, identifier, length and payload, and only so many."""

import numpy as np
import pytest

from edge.frame import Frame
from edge.recordings.frame_columns import columns_of
from edge.recordings.known_frames import FrameKeys, KnownFrames

DIFFERENT = [
    Frame(0, "can0", 0, False, b""),
    Frame(0, "can1", 0, False, b""),
    Frame(0, "can1", 0, True, b""),
    Frame(0, "can1", 0x1FFFFFFF, True, b""),
    Frame(0, "can1", 0x1FFFFFFF, True, bytes(1)),
    Frame(0, "can1", 0x1FFFFFFF, True, bytes(8)),
    Frame(0, "can1", 0x1FFFFFFF, True, bytes(7) + b"\1"),
]


@pytest.mark.parametrize("place_bits", [1, 2, 16])
@pytest.mark.parametrize("row", range(len(DIFFERENT)))
def test_only_the_same_frame_is_known(monkeypatch: pytest.MonkeyPatch, place_bits: int, row: int) -> None:
    monkeypatch.setattr("edge.recordings.known_frames._PLACE_BITS", place_bits)
    known = KnownFrames()
    _learn(known, _keys(DIFFERENT), [row])
    assert _recalled(known, _keys(DIFFERENT)) == ({row: (b"%d" % row,)}, 3)
    assert _recalled(known, _keys(DIFFERENT[::-1])) == ({len(DIFFERENT) - 1 - row: (b"%d" % row,)}, 3)


def test_payloads_of_a_source_are_known_until_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.recordings.known_frames._MOST_OF_ONE", 2)
    known = KnownFrames()
    keys = _keys([Frame(0, "can0", 1, False, bytes([number])) for number in range(3)])
    _learn(known, keys, [0, 1, 1])
    assert _recalled(known, keys) == ({0: (b"0",), 1: (b"1",)}, 6)
    _learn(known, keys, [2])
    assert _recalled(known, keys) == ({}, 0)


def test_another_takes_the_place_of_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.recordings.known_frames._PLACE_BITS", 1)
    known = KnownFrames()
    for row in range(len(DIFFERENT)):
        _learn(known, _keys(DIFFERENT), [row])
    recalled, _ = _recalled(known, _keys(DIFFERENT))
    assert len(recalled) <= 2
    assert recalled[len(DIFFERENT) - 1] == (b"%d" % (len(DIFFERENT) - 1),)


def test_of_frames_that_come_to_one_place_at_once_the_last_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.recordings.known_frames._PLACE_BITS", 1)
    known = KnownFrames()
    keys = _keys([Frame(0, "can0", 1, False, bytes([number])) for number in range(100)])
    _learn(known, keys, [*range(100)])
    recalled, values = _recalled(known, keys)
    assert 99 in recalled
    assert all(pieces == (b"%d" % row,) for row, pieces in recalled.items())
    assert values == 3 * len(recalled)


def _keys(frames: list[Frame]) -> FrameKeys:
    columns = columns_of(frames)
    return FrameKeys(columns, [int(name[-1]) for name in columns.channels])


def _recalled(known: KnownFrames, keys: FrameKeys) -> tuple[dict[int, object], int]:
    rows, pieces, values = known.recall(keys)
    return dict(zip(rows.tolist(), pieces.tolist(), strict=True)), values


def _learn(known: KnownFrames, keys: FrameKeys, rows: list[int]) -> None:
    pieces = np.fromiter(((b"%d" % row,) for row in rows), np.object_, len(rows))
    known.learn(keys, np.array(rows), pieces, values=3)
