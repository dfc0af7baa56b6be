"""Something that happened to a bus."""

from typing import NamedTuple

from pydantic import JsonValue


class BusEvent(NamedTuple):
    """When, and an event's kind and data as a batch carries them."""

    t_ms: int
    kind: str
    data: dict[str, JsonValue]
