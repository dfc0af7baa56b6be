from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from edge.protocols.isotp import LONGEST, IsoTp

STEP_MS = 10
Frame = tuple[int, bytes]


def segment(channel: int, content: bytes, *, width: int = 8, padding: bytes = b"\xaa") -> list[Frame]:
    """A message's frames as ISO 15765-2 lays them out; `width` 64 is CAN FD."""
    if len(content) < 8:
        return [(channel, (bytes([len(content)]) + content).ljust(8, padding))]
    if len(content) <= width - 2:
        return [(channel, (bytes([0, len(content)]) + content).ljust(width, padding))]
    frames = [bytes([0x10 | len(content) >> 8, len(content) & 0xFF]) + content[: width - 2]]
    rest = content[width - 2 :]
    for number, start in enumerate(range(0, len(rest), width - 1), start=1):
        frames.append((bytes([0x20 | number & 0xF]) + rest[start : start + width - 1]).ljust(width, padding))
    return [(channel, frame) for frame in frames]


def listen(isotp: IsoTp, frames: Sequence[Frame], *, step_ms: int = STEP_MS) -> list[Frame]:
    whole = []
    for number, (channel, data) in enumerate(frames):
        content = isotp.take(number * step_ms, channel, data)
        if content is not None:
            whole.append((channel, content))
    return whole


def contents(most: int = 150) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=1, max_size=most)


@given(content=contents(), width=st.sampled_from([8, 12, 64]))
def test_what_was_segmented_comes_out_whole(content: bytes, width: int) -> None:
    assert listen(IsoTp(), segment(0x7E8, content, width=width)) == [(0x7E8, content)]


def test_the_longest_message_comes_out_whole() -> None:
    content = bytes(range(256)) * 15 + bytes(255)
    assert len(content) == LONGEST
    assert listen(IsoTp(), segment(0x7E8, content)) == [(0x7E8, content)]


@given(sent=st.lists(contents(), min_size=2, max_size=5), data=st.data())
def test_interleaved_messages_do_not_touch_one_another(sent: list[bytes], data: st.DataObject) -> None:
    queues = [segment(channel, content) for channel, content in enumerate(sent)]
    frames = []
    while queues:
        queue = data.draw(st.sampled_from(queues))
        frames.append(queue.pop(0))
        if data.draw(st.booleans()):
            frames.append((99, b"\x30\x00\x00"))  # flow control of somebody else
        queues = [left for left in queues if left]
    assert sorted(listen(IsoTp(), frames, step_ms=1)) == list(enumerate(sent))


@given(sent=st.lists(contents(), min_size=2, max_size=4), data=st.data())
def test_losing_any_one_frame_never_gives_a_wrong_message(sent: list[bytes], data: st.DataObject) -> None:
    frames = [(frame, number) for number, content in enumerate(sent) for frame in segment(0x7E8, content)]
    lost = data.draw(st.integers(0, len(frames) - 1))
    isotp = IsoTp()
    heard = listen(isotp, [frame for place, (frame, _) in enumerate(frames) if place != lost])
    assert heard == [(0x7E8, content) for number, content in enumerate(sent) if number != frames[lost][1]]
    counts = isotp.counts
    ended = counts.completed + counts.timed_out + counts.wrong_sequence + counts.too_short
    assert counts.started == ended + counts.interrupted + counts.crowded_out + isotp.open
    assert counts.completed + counts.single == len(heard)


@given(st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=12))))
def test_any_frames_are_taken(frames: list[Frame]) -> None:
    isotp = IsoTp(most_open=2)
    assert all(content for _, content in listen(isotp, frames))
    assert isotp.open <= 2


LONG = segment(0x7E8, bytes(range(30)))


def test_pause_that_is_too_long_ends_a_message() -> None:
    isotp = IsoTp()
    assert listen(isotp, LONG, step_ms=1001) == []
    assert (isotp.counts.timed_out, isotp.counts.stray) == (1, 4)


def test_frame_twice_and_frame_cut_are_counted() -> None:
    for wrong, cause in ((LONG[1][1], "wrong_sequence"), (LONG[2][1][:5], "too_short")):
        isotp = IsoTp()
        assert listen(isotp, [*LONG[:2], (0x7E8, wrong), *LONG[2:]]) == []
        assert isotp.counts.faults()[cause] == 1


def test_new_beginning_ends_the_message_before() -> None:
    isotp = IsoTp()
    assert listen(isotp, [*LONG[:3], *segment(0x7E8, b"\x41\x00"), *LONG[:2], *LONG]) == [
        (0x7E8, b"\x41\x00"),
        (0x7E8, bytes(range(30))),
    ]
    assert isotp.counts.interrupted == 2


def test_last_frame_needs_no_padding() -> None:
    assert listen(IsoTp(), [*LONG[:-1], (0x7E8, LONG[-1][1][:4])]) == [(0x7E8, bytes(range(30)))]


def test_what_makes_no_sense_is_counted() -> None:
    isotp = IsoTp()
    frames = [b"", b"\x00", b"\x08" + bytes(7), b"\x07" + bytes(3), b"\x10\x05" + bytes(6), b"\x10\x14\x00", b"\x51"]
    assert listen(isotp, [(0x7E8, frame) for frame in frames]) == []
    assert isotp.counts.malformed == len(frames)
    isotp.take(0, 0x7E8, b"\x10\x00\x00\x01\x00\x00\x00\x00")
    assert (isotp.counts.too_long, isotp.open) == (1, 0)


def test_length_of_more_than_twelve_bits() -> None:
    frames = [(0x7E8, b"\x10\x00\x00\x00\x00\x09\x01\x02"), (0x7E8, b"\x21\x03\x04\x05\x06\x07\x08\x09")]
    assert listen(IsoTp(), frames) == [(0x7E8, bytes(range(1, 10)))]


def test_oldest_of_too_many_gives_way() -> None:
    isotp = IsoTp(most_open=3)
    for channel in range(5):
        isotp.take(channel, channel, LONG[0][1])
    assert (isotp.open, isotp.counts.crowded_out) == (3, 2)
    isotp.take(10_000, 9, LONG[0][1])
    assert (isotp.open, isotp.counts.timed_out) == (1, 3)
