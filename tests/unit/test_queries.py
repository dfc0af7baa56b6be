"""Named SQL is found by its name and says what it is for."""

import pytest

from cloud.queries import SQL, load, parse


@pytest.mark.parametrize("room", sorted(path.stem for path in (SQL / "queries").glob("*.sql")))
def test_every_room_can_be_read(room: str) -> None:
    assert load(room)


def test_blocks_are_told_apart() -> None:
    text = "-- name: one\n-- First.\nSELECT 1;\n\n-- name: two\n-- Second.\nSELECT\n    2;\n"
    assert parse(text) == {"one": "-- First.\nSELECT 1", "two": "-- Second.\nSELECT\n    2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [("-- name: a\n-- x\nSELECT;\n-- name: a\n-- y\nSELECT;", "twice"), ("-- name: a\nSELECT;", "what it is for")],
)
def test_careless_block_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)
