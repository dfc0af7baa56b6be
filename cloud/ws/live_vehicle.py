"""What is known of a vehicle right now, and what of it is news to somebody who last heard at a certain version."""

from bisect import bisect_right
from collections import deque
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import to_json

from cloud.telemetry.latest import Position, newer
from cloud.vehicle_state import State, is_engine_speed, vehicle_state
from cloud.ws.facts import Facts
from cloud.ws.wanted import Wanted

_HISTORY = 16
_CACHED = 64
_is_engine_speed = lru_cache(maxsize=10_000)(is_engine_speed)


class Signal(NamedTuple):
    t_ms: int
    value: float
    version: int


class LiveVehicle:
    """Merges facts in whatever order they come: newest by (time, then value), so that a late batch moves nothing back.

    `version` is the hub's count of changes when this vehicle last changed.
    """

    def __init__(self, ident: str, name: str, fleet_id: int, *, version: int) -> None:
        self.ident = ident
        self.fleet_id = fleet_id
        self.version = version
        self.position: Position | None = None
        self.state: State = "offline"
        self.seen_ms: int | None = None
        self.driven_ms: int | None = None
        self._name = name
        self._signals: dict[str, Signal] = {}
        self._engine_speeds: set[str] = set()
        self._changed_at = dict.fromkeys(("name", "state", "last_seen", "position"), version)
        self._history: deque[int] = deque([version], maxlen=_HISTORY)
        self._encoded: dict[tuple[int, Wanted | None], str | None] = {}

    def absorb(self, facts: Facts, now_ms: int, *, version: int) -> bool:
        """Whether anything is new by it, the state included; `version` then is this vehicle's."""
        changed = False
        for name, (t_ms, value) in facts.signals.items():
            known = self._signals.get(name)
            if known is None or (t_ms, value) > known[:2]:
                self._signals[name] = Signal(t_ms, value, version)
                changed = True
                if known is None and _is_engine_speed(name):
                    self._engine_speeds.add(name)
        if (position := newer(self.position, facts.position)) != self.position:
            self.position = position
            changed = self._mark("position", version)
        if facts.seen_ms is not None and (self.seen_ms is None or facts.seen_ms > self.seen_ms):
            self.seen_ms = facts.seen_ms
            changed = self._mark("last_seen", version)
        if facts.driven_ms is not None:
            self.driven_ms = max(facts.driven_ms, self.driven_ms or facts.driven_ms)
        if changed:
            self._note(version)
        return self.refresh_state(now_ms, version=version) or changed

    def rename(self, name: str, *, version: int) -> bool:
        if name == self._name:
            return False
        self._name = name
        self._mark("name", version)
        self._note(version)
        return True

    def refresh_state(self, now_ms: int, *, version: int) -> bool:
        """Whether the state is another one now."""
        state = vehicle_state(now_ms, seen_ms=self.seen_ms, driven_ms=self.driven_ms, engine_ms=self._engine_ms())
        if state == self.state:
            return False
        self.state = state
        self._mark("state", version)
        self._note(version)
        return True

    def news(self, since: int, signals: Wanted | None) -> str | None:
        """As JSON, what changed after version `since` (-1: all there is); None if nothing of these signals did."""
        first = self._first_change_after(since)
        if first is None:
            return self._encode(since, signals)
        key = (first, signals)
        if key not in self._encoded:
            if len(self._encoded) >= _CACHED:
                self._encoded.clear()
            self._encoded[key] = self._encode(since, signals)
        return self._encoded[key]

    def _encode(self, since: int, signals: Wanted | None) -> str | None:
        partial: dict[str, Any] = {"id": self.ident}
        if self._changed_at["name"] > since:
            partial["name"] = self._name
        if self._changed_at["state"] > since:
            partial["state"] = self.state
        if self._changed_at["last_seen"] > since:
            partial["last_seen"] = self.seen_ms
        if self._changed_at["position"] > since:
            partial["position"] = _as_json(self.position) if self.position else None
        values = {name: known[:2] for name, known in self._chosen(signals) if known.version > since}
        if values or since < 0:
            partial["signals"] = values
        return to_json(partial).decode() if len(partial) > 1 else None

    def _chosen(self, signals: Wanted | None) -> list[tuple[str, Signal]]:
        if signals is None:
            return list(self._signals.items())
        if signals.patterns:
            return [(name, signal) for name, signal in self._signals.items() if signals.has(name)]
        return [(name, self._signals[name]) for name in signals.names if name in self._signals]

    def _first_change_after(self, since: int) -> int | None:
        """Names what two listeners share who are due the same; None where that is too long ago to know."""
        if since < 0:
            return -1
        if since < self._history[0]:
            return None
        place = bisect_right(self._history, since)
        return self._history[place] if place < len(self._history) else self.version + 1

    def _engine_ms(self) -> int | None:
        running = (self._signals[name] for name in self._engine_speeds)
        return max((signal.t_ms for signal in running if signal.value > 0), default=None)

    def _mark(self, field: str, version: int) -> bool:
        self._changed_at[field] = version
        return True

    def _note(self, version: int) -> None:
        self.version = version
        self._encoded.clear()
        if self._history[-1] != version:
            self._history.append(version)


def _as_json(position: Position) -> dict[str, float | None]:
    return {
        "t": position.t_ms,
        "lat": position.lat,
        "lon": position.lon,
        "speed": position.speed,
        "course": position.course,
        "alt": position.alt,
    }
