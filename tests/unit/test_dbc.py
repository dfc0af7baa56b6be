from pathlib import Path

import pytest

from edge.dbc import DbcError, load_database

HEADER = 'VERSION ""\n\nBS_:\n\nBU_: ECU\n\n'
OVERLAPPING = HEADER + (
    'BO_ 100 Speed: 8 ECU\n SG_ First : 0|16@1+ (1,0) [0|0] "" ECU\n SG_ Second : 8|16@1+ (1,0) [0|0] "" ECU\n'
)


def test_a_good_file_loads(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER + 'BO_ 100 Speed: 8 ECU\n SG_ First : 0|16@1+ (1,0) [0|0] "" ECU\n')
    assert load_database(path).get_message_by_name("Speed").frame_id == 100


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER + "BO_ 100 Speed 8 ECU\n")
    with pytest.raises(DbcError, match="Invalid syntax") as caught:
        load_database(path)
    assert caught.value.line == 7
    assert str(caught.value).startswith(f"{path}, line 7: ")


def test_overlapping_signals_name_the_signals_line_and_what_strict_off_would_do(tmp_path: Path) -> None:
    with pytest.raises(DbcError, match="strict = false: the message is then left out") as caught:
        load_database(_write(tmp_path, OVERLAPPING))
    assert caught.value.line == 9


def test_overlapping_signals_load_without_the_strict_check(tmp_path: Path) -> None:
    database = load_database(_write(tmp_path, OVERLAPPING), strict=False)
    assert [message.name for message in database.messages] == ["Speed"]


def test_an_ns_block_without_bs_is_named_as_the_cause(tmp_path: Path) -> None:
    path = _write(tmp_path, 'VERSION ""\n\nNS_ :\n    CM_\n\nBO_ 100 Speed: 8 ECU\n')
    with pytest.raises(DbcError, match="add a line 'BS_:' below the block, or delete the NS_ block"):
        load_database(path)


def test_the_advice_about_the_ns_block_helps(tmp_path: Path) -> None:
    path = _write(tmp_path, 'VERSION ""\n\nNS_ :\n    CM_\n\nBS_:\n\nBO_ 100 Speed: 8 ECU\n')
    assert load_database(path).get_message_by_name("Speed").frame_id == 100


def test_another_syntax_error_in_a_file_with_ns_and_bs_does_not_blame_them(tmp_path: Path) -> None:
    path = _write(tmp_path, 'VERSION ""\n\nNS_ :\n    CM_\n\nBS_:\n\nBU_: ECU\n\nBO_ Speed\n')
    with pytest.raises(DbcError) as caught:
        load_database(path)
    assert "NS_" not in str(caught.value)


def test_an_identifier_that_is_too_long_is_explained(tmp_path: Path) -> None:
    path = _write(tmp_path, HEADER + "BO_ 274923520 Door: 1 ECU\n")
    with pytest.raises(DbcError, match="adding 2147483648") as caught:
        load_database(path, strict=False)
    assert caught.value.line == 7


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DbcError, match="No such file"):
        load_database(tmp_path / "none.dbc")


def test_other_formats_of_cantools_load_by_their_ending(tmp_path: Path) -> None:
    path = tmp_path / "bus.kcd"
    path.write_text(
        '<NetworkDefinition xmlns="http://kayak.2codeornot2code.org/1.0"><Document name="x"/>'
        '<Bus name="b"><Message id="0x64" name="Speed" length="8"/></Bus></NetworkDefinition>'
    )
    assert load_database(path).get_message_by_name("Speed").frame_id == 100


def _write(folder: Path, text: str) -> Path:
    path = folder / "test.dbc"
    path.write_text(text)
    return path
