"""Notice which trouble codes appear and disappear. Pure.

A list of codes (one device's active codes, say) is known by its key; what it holds is heard again and again, and only
what differs from the time before makes an event. At the start nothing is known, so every code of a first list is new.
"""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # pydantic takes long to import, and this is all that decoding would need of it
    from pydantic import JsonValue

DTC_SET: Final = "dtc_set"
DTC_CLEARED: Final = "dtc_cleared"

EventData = dict[str, "JsonValue"]
DeviceEvent = tuple[str, EventData]


class CodeWatch:
    """The lists of one bus. The number of keys is for the caller to bound: there are at most 256 sources."""

    def __init__(self) -> None:
        self._lists: dict[Hashable, dict[Hashable, EventData]] = {}

    def codes(self, key: Hashable) -> Mapping[Hashable, EventData]:
        """What the list held last."""
        return self._lists.get(key, {})

    def replace(self, key: Hashable, codes: Mapping[Hashable, EventData], context: EventData) -> list[DeviceEvent]:
        """The list as it is now: events for codes that are new or differ, and for those that are gone.

        `context` goes into every event; a difference in it alone makes none.
        """
        known = self._lists.get(key, {})
        if known == codes:
            return []
        self._lists[key] = dict(codes)
        appeared = [(DTC_SET, context | data) for code, data in codes.items() if known.get(code) != data]
        gone = [(DTC_CLEARED, context | data) for code, data in known.items() if code not in codes]
        return appeared + gone
