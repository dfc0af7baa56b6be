from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from edge.protocols.j1939_transport import J1939Transport, Transfer

STEP_MS = 10


class Heard(NamedTuple):
    """A frame of TP.CM or TP.DT."""

    source: int
    destination: int
    data: bytes
    is_packet: bool = False


def segment(message: Transfer, *, window: int = 255) -> list[Heard]:
    """All frames of a transfer: BAM to all, else RTS/CTS in portions of `window` packets."""
    pgn, source, destination, data = message
    tail = pgn.to_bytes(3, "little")
    chunks = [data[start : start + 7].ljust(7, b"\xff") for start in range(0, len(data), 7)]
    packets = [Heard(source, destination, bytes([n]) + chunk, True) for n, chunk in enumerate(chunks, start=1)]
    size = len(data).to_bytes(2, "little")
    if destination == 0xFF:
        return [Heard(source, 0xFF, b"\x20" + size + bytes([len(chunks), 0xFF]) + tail), *packets]
    frames = [Heard(source, destination, b"\x10" + size + bytes([len(chunks), window]) + tail)]
    for start in range(0, len(packets), window):
        portion = packets[start : start + window]
        frames.append(Heard(destination, source, bytes([17, len(portion), start + 1, 0xFF, 0xFF]) + tail))
        frames += portion
    frames.append(Heard(destination, source, b"\x13" + size + bytes([len(chunks), 0xFF]) + tail))
    return frames


def listen(transport: J1939Transport, frames: Sequence[Heard], *, step_ms: int = STEP_MS) -> list[Transfer]:
    whole = []
    for number, frame in enumerate(frames):
        arguments = (number * step_ms, frame.source, frame.destination, frame.data)
        if not frame.is_packet:
            transport.take_control(*arguments)
        elif (message := transport.take_packet(*arguments)) is not None:
            whole.append(message)
    return whole


def messages(sources: st.SearchStrategy[int]) -> st.SearchStrategy[Transfer]:
    return st.builds(
        Transfer,
        pgn=st.integers(0, 0x3FFFF),
        source=sources,
        destination=st.one_of(st.just(0xFF), st.integers(200, 254)),
        data=st.binary(min_size=9, max_size=120),
    )


@given(message=messages(st.integers(0, 199)), window=st.integers(1, 8))
def test_what_was_segmented_comes_out_whole(message: Transfer, window: int) -> None:
    assert listen(J1939Transport(), segment(message, window=window)) == [message]


@given(data=st.binary(min_size=1785, max_size=1785))
def test_the_longest_message_comes_out_whole(data: bytes) -> None:
    message = Transfer(0xFECA, 0, 0xFF, data)
    assert listen(J1939Transport(), segment(message)) == [message]


@given(sent=st.lists(messages(st.integers(0, 199)), min_size=2, max_size=5, unique_by=lambda m: m[1]), data=st.data())
def test_interleaved_transfers_do_not_touch_one_another(sent: list[Transfer], data: st.DataObject) -> None:
    queues = [segment(message) for message in sent]
    frames = []
    while queues:
        queue = data.draw(st.sampled_from(queues))
        frames.append(queue.pop(0))
        queues = [left for left in queues if left]
    transport = J1939Transport()
    assert sorted(listen(transport, frames, step_ms=1)) == sorted(sent)
    assert transport.open == 0


@given(sent=st.lists(messages(st.just(7)), min_size=2, max_size=4), data=st.data())
def test_losing_any_one_frame_never_gives_a_wrong_message(sent: list[Transfer], data: st.DataObject) -> None:
    frames = [(frame, message) for message in sent for frame in segment(message, window=4)]
    lost = data.draw(st.integers(0, len(frames) - 1))
    transport = J1939Transport()
    heard = listen(transport, [frame for number, (frame, _) in enumerate(frames) if number != lost])
    without = list(sent)
    without.pop(next(number for number, message in enumerate(sent) if message is frames[lost][1]))
    assert heard in (sent, without)
    counts = transport.counts
    ended = counts.completed + counts.timed_out + counts.aborted + counts.wrong_sequence + counts.too_short
    assert counts.started == ended + counts.interrupted + counts.crowded_out + transport.open


@given(
    st.lists(st.builds(Heard, st.integers(0, 3), st.sampled_from([1, 2, 255]), st.binary(max_size=9), st.booleans()))
)
def test_any_frames_are_taken(frames: list[Heard]) -> None:
    transport = J1939Transport(most_open=2)
    listen(transport, frames)
    assert transport.open <= 2


MESSAGE = Transfer(0xFEE3, 0x00, 0xFF, bytes(range(20)))
REQUESTED = Transfer(0xFECB, 0x00, 0xF9, bytes(range(20)))


def test_pause_that_is_too_long_ends_a_transfer() -> None:
    transport = J1939Transport()
    assert listen(transport, segment(MESSAGE), step_ms=751) == []
    assert (transport.counts.timed_out, transport.counts.stray) == (1, 3)


def test_receiver_may_ask_to_wait() -> None:
    frames = segment(REQUESTED)
    hold = Heard(0xF9, 0x00, bytes([17, 0, 0xFF, 0xFF, 0xFF, 0xCB, 0xFE, 0x00]))
    assert listen(J1939Transport(), [frames[0], hold, hold, *frames[1:]], step_ms=1000) == [REQUESTED]


def test_receiver_may_ask_again_for_what_was_heard_here() -> None:
    frames = segment(REQUESTED)
    again = Heard(0xF9, 0x00, bytes([17, 2, 2, 0xFF, 0xFF, 0xCB, 0xFE, 0x00]))
    assert listen(J1939Transport(), [*frames[:4], again, *frames[3:]]) == [REQUESTED]


def test_abort_by_either_side_ends_a_transfer() -> None:
    for source, destination in ((0x00, 0xF9), (0xF9, 0x00)):
        frames = segment(REQUESTED)
        abort = Heard(source, destination, bytes([255, 3, 0xFF, 0xFF, 0xFF, 0xCB, 0xFE, 0x00]))
        transport = J1939Transport()
        assert listen(transport, [*frames[:4], abort, *frames[4:]]) == []
        assert transport.counts.aborted == 1


def test_new_beginning_ends_the_transfer_before() -> None:
    transport = J1939Transport()
    assert listen(transport, [*segment(MESSAGE)[:3], *segment(MESSAGE)]) == [MESSAGE]
    assert transport.counts.interrupted == 1


def test_packet_twice_and_packet_cut_are_counted() -> None:
    frames = segment(MESSAGE)
    for wrong, cause in ((frames[1], "wrong_sequence"), (frames[2]._replace(data=frames[2].data[:5]), "too_short")):
        transport = J1939Transport()
        assert listen(transport, [frames[0], frames[1], wrong, *frames[2:]]) == []
        assert transport.counts.faults()[cause] == 1


def test_last_packet_needs_no_padding() -> None:
    frames = segment(MESSAGE)
    assert listen(J1939Transport(), [*frames[:3], frames[3]._replace(data=frames[3].data[:7])]) == [MESSAGE]


def test_announcements_that_make_no_sense_are_counted() -> None:
    transport = J1939Transport()
    tail = bytes([0xFF, 0xCA, 0xFE, 0x00])
    for beginning in ((32, 20, 0, 2), (32, 0, 0, 0), (32, 0xFF, 0xFF, 255), (99, 20, 0, 3), (16, 20, 0, 3)):
        transport.take_control(0, 0, 0xFF, bytes(beginning) + tail)
    transport.take_control(0, 0, 0xFF, b"\x20\x14")
    assert (transport.counts.malformed, transport.counts.started) == (6, 0)


def test_oldest_of_too_many_gives_way() -> None:
    transport = J1939Transport(most_open=3)
    for source in range(5):
        transport.take_control(source, source, 0xFF, segment(MESSAGE)[0].data)
    assert (transport.open, transport.counts.crowded_out) == (3, 2)
    transport.take_control(10_000, 9, 0xFF, segment(MESSAGE)[0].data)
    assert (transport.open, transport.counts.timed_out) == (1, 3)
