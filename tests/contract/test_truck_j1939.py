"""A real truck's messages of several frames, against a reassembly that knows nothing but this recording's manner."""

from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.frame import Frame
from edge.protocols.j1939_transport import J1939Transport, Transfer
from edge.recordings.recording import open_recording
from fleetwire.__main__ import cli

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "truck-j1939"
LOG, DBC = FOLDER / "truck-idle.MF4", FOLDER / "CSS-Electronics-SAE-J1939-DEMO.dbc"

pytestmark = pytest.mark.skipif(not LOG.exists(), reason="no ../shared/data beside this checkout")


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return [frame for frame in open_recording(LOG) if frame.arbitration_id in (0x1CECFF00, 0x1CEBFF00)]


@pytest.fixture(scope="module")
def decoded() -> list[list[str]]:
    result = CliRunner().invoke(cli, ["decode", str(LOG), "--dbc", str(DBC), "--protocol", "j1939"])
    assert result.exit_code == 0
    return [line.split(",") for line in result.stdout.splitlines()[1:]]


def naive(frames: list[Frame]) -> list[tuple[int, int, bytes]]:
    """Time, PGN and content: one source, broadcasts only, one after the other."""
    found = []
    announced, content = b"", b""
    for frame in frames:
        if frame.arbitration_id == 0x1CECFF00:
            announced, content = frame.data, b""
        else:
            content += frame.data[1:]
            if frame.data[0] == announced[3]:
                assert frame.t_ns is not None
                size = announced[1] + 256 * announced[2]
                found.append((frame.t_ns, announced[5] + 256 * announced[6], content[:size]))
    return found


def test_messages_are_those_of_a_naive_reassembly(frames: list[Frame]) -> None:
    transport = J1939Transport()
    heard = []
    for t_ns, _, arbitration_id, _, data in frames:
        assert t_ns is not None
        if arbitration_id == 0x1CECFF00:
            transport.take_control(t_ns // 1_000_000, 0, 0xFF, data)
        elif (message := transport.take_packet(t_ns // 1_000_000, 0, 0xFF, data)) is not None:
            heard.append((t_ns, message))
    assert heard == [(t_ns, Transfer(pgn, 0, 0xFF, content)) for t_ns, pgn, content in naive(frames)]
    assert Counter((message.pgn, len(message.data)) for _, message in heard) == {(65226, 18): 127, (65251, 39): 25}
    assert set(transport.counts.faults().values()) == {0}


def test_trouble_codes_are_decoded(frames: list[Frame], decoded: list[list[str]]) -> None:
    wanted = []
    for t_ns, pgn, content in naive(frames):
        if pgn == 65226:
            groups = [content[start : start + 4] for start in range(2, len(content), 4)]
            for number, group in enumerate(groups, start=1):
                bits = f"{int.from_bytes(group, 'little'):032b}"  # from the top: CM, OC, the SPN's 3 highest bits, FMI
                spn = int(bits[8:11] + bits[16:32], 2)
                time = f"{t_ns / 1e9:.6f}"
                wanted += [
                    [time, f"spn{number}", str(spn)],
                    [time, f"fmi{number}", str(int(bits[11:16], 2))],
                    [time, f"occurrence{number}", str(int(bits[1:8], 2))],
                ]
    codes = [(t, signal, value) for t, _, message, signal, value in decoded if message == "DM1@00"]
    assert [list(row) for row in codes if row[1][-1].isdigit()] == wanted
    assert len(wanted) == 127 * 4 * 3


def test_other_messages_are_given_in_hexadecimal(frames: list[Frame], decoded: list[list[str]]) -> None:
    given = [value for _, _, message, _, value in decoded if message == "PGN65251@00"]
    assert given == [content.hex().upper() for _, pgn, content in naive(frames) if pgn == 65251]


def test_without_being_asked_only_the_databases_signals_are_given(decoded: list[list[str]]) -> None:
    result = CliRunner().invoke(cli, ["decode", str(LOG), "--dbc", str(DBC)])
    rows = [line.split(",") for line in result.stdout.splitlines()[1:]]
    assert {row[2] for row in rows} == {"EEC1", "CCVS1"}
    assert rows == [row for row in decoded if row[2] in ("EEC1", "CCVS1")]
