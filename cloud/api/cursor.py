"""Cursors: where the next page begins. Opaque to the client, checked when they come back."""

import base64
import binascii
import json
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from cloud.problem import Problem

T = TypeVar("T")


def write_cursor(place: object) -> str:
    """`place` is JSON: names, integers, lists of them."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def read_cursor(text: str, shape: TypeAdapter[T]) -> T:
    """Raises Problem 400 for what no page of this kind has handed out."""
    try:
        return shape.validate_json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), strict=True)
    except (binascii.Error, ValueError, ValidationError):
        raise Problem(400, f"after={text!r} is no cursor of this list: pass on the 'next' of the page before") from None
