"""Frames that come again are known by channel, identifier, length and payload, and only so many."""

from itertools import pairwise

import numpy as np
import pytest

from edge.frame import Frame
from edge.recordings.frame_columns import columns_of
from edge.recordings.known_frames import FrameKeys, KnownFrames, Pieces


def test_whatever_differs_makes_another_key() -> None:
    frames = [
        Frame(0, "can0", 0, False, b""),
        Frame(0, "can1", 0, False, b""),
        Frame(0, "can1", 0, True, b""),
        Frame(0, "can1", 0x1FFFFFFF, True, b""),
        Frame(0, "can1", 0x1FFFFFFF, True, bytes(1)),
        Frame(0, "can1", 0x1FFFFFFF, True, bytes(8)),
        Frame(0, "can1", 0x1FFFFFFF, True, bytes(7) + b"\1"),
    ]
    keys = _keys(frames)
    assert len({*keys.of(np.arange(len(frames)))}) == len(frames)
    assert [first != second for first, second in pairwise(keys.sources.tolist())] == [True] * 5 + [False]
    assert _keys(frames[::-1]).of(np.arange(len(frames))) == keys.of(np.arange(len(frames)))[::-1]


def test_payloads_of_a_source_are_known_until_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.recordings.known_frames._MOST_OF_ONE", 2)
    known = KnownFrames()
    keys = _keys([Frame(0, "can0", 1, False, bytes([number])) for number in range(4)])
    _learn(known, keys, [0, 1])
    assert _found(known, keys) == [(b"0",), (b"1",), None, None]
    assert not known.are_varied(keys.sources).any()
    _learn(known, keys, [1, 2])
    assert _found(known, keys) == [None] * 4
    assert known.are_varied(keys.sources).all()
    _learn(known, keys, [3])
    assert _found(known, keys) == [None] * 4


def test_room_is_for_all_sources_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.recordings.known_frames._MOST", 2)
    known = KnownFrames()
    keys = _keys([Frame(0, "can0", can_id, False, b"") for can_id in range(3)])
    for row in range(3):
        _learn(known, keys, [row])
    assert _found(known, keys) == [(b"0",), (b"1",), None]


def _keys(frames: list[Frame]) -> FrameKeys:
    columns = columns_of(frames)
    return FrameKeys(columns, [int(name[-1]) for name in columns.channels])


def _found(known: KnownFrames, keys: FrameKeys) -> list[Pieces | None]:
    return [*known.find(keys.of(np.arange(len(keys.sources))))]


def _learn(known: KnownFrames, keys: FrameKeys, rows: list[int]) -> None:
    known.learn(keys, np.array(rows), np.fromiter(((b"%d" % row,) for row in rows), np.object_, len(rows)))
