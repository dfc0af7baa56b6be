"""Whether the agent makes progress, which is more than being alive. Pure; times are passed in."""

from dataclasses import dataclass, field
from typing import Final

SILENCE_S: Final = 300.0
"""An uplink that fares well speaks every few seconds; after so long beyond what a request may take it hangs."""


@dataclass(slots=True)
class Progress:
    """Looked at again and again. `patience_s` is how long what was read may wait for the disk."""

    patience_s: float
    _stored: int = field(default=-1, init=False)
    _since_s: float = field(default=0.0, init=False)
    _requests: int = field(default=-1, init=False)
    _spoken_s: float = field(default=0.0, init=False)

    def is_made(
        self, now_s: float, *, waiting: int, stored: int, requests: int, is_waiting: bool, patience_s: float = 0.0
    ) -> bool:
        """`waiting` outputs are not on the disk yet, `stored` ones are; `is_waiting`: the uplink lets the cloud be.

        `patience_s` is how long the uplink's present request may take: long on a slow link.
        """
        if not waiting or stored != self._stored:
            self._stored, self._since_s = stored, now_s
        if is_waiting or requests != self._requests:
            self._requests, self._spoken_s = requests, now_s
        return now_s - self._since_s <= self.patience_s and now_s - self._spoken_s <= SILENCE_S + patience_s
