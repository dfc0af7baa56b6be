"""What a vehicle is doing, judged from when it last sent, drove, and ran its engine."""

import re
from typing import Literal

State = Literal["driving", "idling", "parked", "offline"]

OFFLINE_AFTER_MS = 120_000
RECENT_MS = 60_000
DRIVING_KMH = 5.0

ENGINE_SPEED_NAMES = ("enginespeed", "enginerpm", "engspeed", "engrpm", "engspd", "enginerevs")
"""How names of engine speed signals end once case and punctuation are gone: `EEC1.EngineSpeed@00`, `Engine.Speed`,
`OBD2.S1_PID_0C_EngineRPM`; a signal that is called just `rpm` is one too."""

_AGGREGATE = re.compile(r":(min|max|mean|count)$")
_NOT_LETTERS = re.compile(r"[^a-z]")


def vehicle_state(now_ms: int, *, seen_ms: int | None, driven_ms: int | None, engine_ms: int | None) -> State:
    """`seen_ms` newest data, `driven_ms` newest fix above 5 km/h, `engine_ms` newest engine speed, if that was above 0.

    Offline after 120 s without data, driving above 5 km/h in the last 60 s, idling with the engine running, else
    parked. An engine speed counts as long as data does: a sampler sends a steady value rarely.
    """
    if seen_ms is None or now_ms - seen_ms > OFFLINE_AFTER_MS:
        return "offline"
    if driven_ms is not None and now_ms - driven_ms <= RECENT_MS:
        return "driving"
    if engine_ms is not None and now_ms - engine_ms <= OFFLINE_AFTER_MS:
        return "idling"
    return "parked"


def is_engine_speed(signal: str) -> bool:
    """Whether a signal's name, `[bus:]Message.Signal[@SA]`, says that it is the engine's speed."""
    if _AGGREGATE.search(signal):
        return False
    name = signal.partition("@")[0].lower()
    plain = _NOT_LETTERS.sub("", name)
    return plain.endswith(ENGINE_SPEED_NAMES) or re.split(r"[.:]", name)[-1] == "rpm"
