"""Controllers of a vehicle on a python-can bus: they answer OBD-II and UDS with ISO-TP, and wait for flow control."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import can

FUNCTIONAL = (0x7DF, 0x18DB33F1)
Answer = bytes | Sequence[bytes] | None
"""One, several in a row (as after "response pending"), or silence."""


@dataclass
class Ecu:
    """One controller. `answers` gives by the hex of the request what it says to it."""

    answer_id: int
    answers: dict[str, Answer]
    is_extended: bool = False
    heard: list[bytes] = field(default_factory=list)
    """The requests, in their order."""
    flow_controls: int = 0
    is_off: bool = False

    @property
    def request_id(self) -> int:
        if self.is_extended:
            return 0x18DA00F1 | (self.answer_id & 0xFF) << 8
        return self.answer_id - 8


class Vehicle:
    """All controllers on one bus, in a thread. `sent` is every frame that anybody else put on the bus."""

    def __init__(self, channel: str, *ecus: Ecu, interface: str = "virtual") -> None:
        self.ecus = ecus
        self.sent: list[can.Message] = []
        self._bus = can.Bus(channel, interface)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated ecu")
        self._rest: dict[int, list[bytes]] = {}
        self._heard = threading.Condition()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._bus.shutdown()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 60) -> bool:
        """Blocks until it is so; looked at with each frame."""
        with self._heard:
            return self._heard.wait_for(condition, timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            message = self._bus.recv(0.05)
            if message is None:
                continue
            with self._heard:
                self.sent.append(message)
                for ecu in self.ecus:
                    if not ecu.is_off and message.is_extended_id == ecu.is_extended:
                        self._take(ecu, message)
                self._heard.notify_all()

    def _take(self, ecu: Ecu, message: can.Message) -> None:
        data = bytes(message.data)
        if message.arbitration_id == ecu.request_id and data[0] >> 4 == 3:
            ecu.flow_controls += 1
            for frame in self._rest.pop(ecu.answer_id, []):
                self._send(ecu, frame)
        elif message.arbitration_id in (*FUNCTIONAL, ecu.request_id) and data[0] < 8:
            request = data[1 : 1 + data[0]]
            ecu.heard.append(request)
            answer = ecu.answers.get(request.hex())
            for payload in [answer] if isinstance(answer, bytes) else answer or ():
                self._answer(ecu, payload)

    def _answer(self, ecu: Ecu, payload: bytes) -> None:
        if len(payload) < 8:
            self._send(ecu, bytes([len(payload)]) + payload)
            return
        rest = payload[6:]
        self._rest[ecu.answer_id] = [
            bytes([0x20 | (number + 1) & 0xF]) + rest[7 * number : 7 * number + 7]
            for number in range(-(-len(rest) // 7))
        ]
        self._send(ecu, (0x1000 | len(payload)).to_bytes(2, "big") + payload[:6])

    def _send(self, ecu: Ecu, data: bytes) -> None:
        self._bus.send(
            can.Message(arbitration_id=ecu.answer_id, is_extended_id=ecu.is_extended, data=data.ljust(8, b"\xaa"))
        )


def supported(*pids: int, first: int = 0) -> bytes:
    """The answer to PID `first`: which of the 32 behind it there are."""
    mask = sum(1 << (0x20 - (pid - first)) for pid in pids if first < pid <= first + 0x20)
    return bytes([0x41, first]) + mask.to_bytes(4, "big")
