"""Time spans."""

from collections.abc import Iterable

Span = tuple[int, int]


def joined(spans: Iterable[Span], *, slack_ms: int) -> list[Span]:
    """Spans in order, those closer to one another than `slack_ms` joined."""
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1] + slack_ms:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found
