"""With what clock something was recorded."""

from dataclasses import dataclass

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class ClockLabel:
    """Beside each recorded time, which is steady: boot `boot_id`, boot time `time - base_ns`, and what it is called.

    `offset_ns` is UTC minus boot time: the truth where `is_trusted`, else what the system clock said. `waits` is
    whether it is to be kept back until the truth is known.
    """

    boot_id: str
    base_ns: int
    offset_ns: int
    is_trusted: bool
    waits: bool = False

    @property
    def shift_ms(self) -> int:
        """What turns steady time into the time to be told."""
        return rounded_ms(self.offset_ns - self.base_ns)


def rounded_ms(ns: int) -> int:
    """The nearest whole ms."""
    return (ns + _NS_PER_MS // 2) // _NS_PER_MS
