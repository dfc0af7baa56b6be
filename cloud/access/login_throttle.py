"""How fast passwords may be tried. Pure: time comes in as an argument."""

from collections import OrderedDict
from dataclasses import dataclass

FREE_FAILURES = 5
LONGEST_S = 30.0
FORGET_AFTER_S = 900.0
MAX_KEYS = 10_000


@dataclass(frozen=True)
class _Record:
    failures: int
    last_s: float


class LoginThrottle:
    """After some free failures a key (a name, an address) waits 1, 2, 4 … 30 s. The oldest keys are forgotten."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait_s(self, keys: tuple[str, ...], now_s: float) -> float:
        """How long these keys have to wait now; 0 if not at all."""
        return max(self._wait_s(self._records.get(key), now_s) for key in keys)

    def failed(self, keys: tuple[str, ...], now_s: float) -> None:
        for key in keys:
            known = self._records.pop(key, None)
            forgotten = known is None or now_s - known.last_s > FORGET_AFTER_S
            self._records[key] = _Record(1 if forgotten or known is None else known.failures + 1, now_s)
        while len(self._records) > MAX_KEYS:
            self._records.popitem(last=False)

    def succeeded(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            self._records.pop(key, None)

    def _wait_s(self, record: _Record | None, now_s: float) -> float:
        if record is None or record.failures < FREE_FAILURES:
            return 0.0
        pause_s = min(2.0 ** (record.failures - FREE_FAILURES), LONGEST_S)
        return max(0.0, record.last_s + pause_s - now_s)
