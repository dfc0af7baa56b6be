from hypothesis import given
from hypothesis import strategies as st

from edge.buses.socketcan_frames import SLOT_BYTES, ErrorFrame, pack_slot, parse_slots
from edge.frame import Frame

EXTENDED, REMOTE, ERROR = 0x80000000, 0x40000000, 0x20000000
NOW_NS = 1_700_000_000_000_000_000


def _parse(*slots: bytes) -> tuple[list[Frame], list[ErrorFrame], int, int | None]:
    frames, errors, remote, dropped = parse_slots(memoryview(b"".join(slots)), "can0", NOW_NS)
    return frames, list(errors), remote, dropped


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.tuples(st.integers(0, 0x7FF), st.just(False)), st.tuples(st.integers(0, 0x1FFFFFFF), st.just(True))
            ),
            st.one_of(st.binary(max_size=8), st.sampled_from([12, 16, 20, 24, 32, 48, 64]).map(bytes)),
            st.integers(0, 2**62),
        )
    )
)
def test_every_data_frame_comes_out_as_it_was(sent: list[tuple[tuple[int, bool], bytes, int]]) -> None:
    slots = [
        pack_slot(can_id | (EXTENDED if is_extended else 0), data, t_ns=t_ns)
        for (can_id, is_extended), data, t_ns in sent
    ]
    frames, errors, remote, dropped = _parse(*slots)
    assert frames == [Frame(t_ns, "can0", can_id, is_extended, data) for (can_id, is_extended), data, t_ns in sent]
    assert (errors, remote, dropped) == ([], 0, None)


def test_a_long_frame_is_found_among_others() -> None:
    long = bytes(range(64))
    frames, errors, remote, _ = _parse(
        pack_slot(1, b"a"), pack_slot(REMOTE | 2, b""), pack_slot(ERROR | 0x40, bytes(8)), pack_slot(3, long)
    )
    assert [(frame.arbitration_id, frame.data) for frame in frames] == [(1, b"a"), (3, long)]
    assert (len(errors), remote) == (1, 1)


def test_an_error_frame_keeps_its_classes_and_data() -> None:
    _, errors, _, _ = _parse(pack_slot(ERROR | 0x204, b"\0\x30\0\0\0\0\x80\x7f", t_ns=5))
    assert errors == [ErrorFrame(5, 0x204, b"\0\x30\0\0\0\0\x80\x7f")]


def test_a_remote_extended_frame_is_no_data_frame() -> None:
    assert _parse(pack_slot(EXTENDED | REMOTE | 0x123, b"")) == ([], [], 1, None)


def test_without_a_time_of_the_kernel_it_is_now() -> None:
    frames, *_ = _parse(pack_slot(1, b""))
    assert frames[0].t_ns == NOW_NS


def test_the_newest_count_of_dropped_frames_holds() -> None:
    *_, dropped = _parse(pack_slot(1, b"", t_ns=1), pack_slot(1, b"", t_ns=1, dropped=7), pack_slot(1, b"", t_ns=1))
    assert dropped == 7


def test_a_length_that_no_frame_has_is_cut() -> None:
    slot = bytearray(pack_slot(1, bytes(64)))
    slot[4] = 255
    (frame,), *_ = _parse(bytes(slot))
    assert len(frame.data) == 64


@given(st.binary(min_size=SLOT_BYTES, max_size=SLOT_BYTES), st.integers(1, 5))
def test_no_bytes_break_it(slot: bytes, count: int) -> None:
    frames, errors, remote, _ = _parse(*[slot] * count)
    assert len(frames) + len(errors) + remote == count
