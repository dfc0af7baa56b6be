"""Ask the controllers of a vehicle for values and trouble codes: what to ask next, and what an answer means for that.

Pure: frames and times come in, frames to be sent go out. What the answers say is read by `obd_listener`, which
hears them like anybody else's; here it only matters who answers, and to what.

One request at a time is under way. First it is found out who is there and which values they have (PIDs 00, 20, 40 …),
then each value is asked for as often as it is wanted, the longest overdue first, as fast as the rate allows. Nobody
answers while the ignition is off: after three requests in vain there is only a probe now and then, ever more seldom, so
that a parked vehicle is not kept awake; other traffic that comes up brings the next probe at once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge.frame import Frame
from edge.protocols.isotp import IsoTp
from edge.protocols.obd import CURRENT_DATA, IS_ANSWER, PENDING, READ_DTC, REFUSAL
from edge.protocols.obd_frames import Controller, Width, controller_of, go_on, to_all, to_one

ANSWER_WITHIN_S: Final = 0.25
"""P2 of ISO 15765-4 is 50 ms; adapters and computers take their time too."""

PENDING_S: Final = 5.0
"""P2* of ISO 14229-2, after "response pending"."""

MULTI_FRAME_S: Final = 1.0
"""N_Cr: what may lie between the frames of a long answer."""

PROBE_FIRST_S: Final = 5.0
PROBE_LIMIT_S: Final = 300.0
QUIET_S: Final = 5.0
"""A bus that was silent for so long and speaks again belongs to a vehicle that has been switched on."""

REDISCOVER_S: Final = 600.0
MOST_IN_VAIN: Final = 3
STATUS_MASK: Final = 0x0D
"""Of UDS: failed now, pending, or confirmed."""

_LISTS: Final = (b"\x03", b"\x07", b"\x0a")
_VIN: Final = b"\x09\x02"
_CODES_BY_STATUS: Final = bytes([READ_DTC, 0x02, STATUS_MASK])
_BLOCK: Final = 0x20
_NOT_SUPPORTED: Final = frozenset({0x11, 0x12, 0x31, 0x7E, 0x7F})
_EXTENDED: Final = 1 << 29


@dataclass(frozen=True, slots=True)
class PollPlan:
    """What is wanted: PIDs of mode 01 by how often, in seconds, and how often the trouble codes; 0 is never."""

    pids: Mapping[int, float]
    trouble_codes_s: float = 60.0
    uds: bool = False
    controllers: tuple[Controller, ...] = ()
    """Asked for UDS trouble codes beside those that answer OBD."""
    most_per_s: float = 10.0
    widths: tuple[Width, ...] = ("11bit", "29bit")


@dataclass(slots=True)
class PollCounts:
    """Requests by what became of them: requests = answered + in_vain + refused + not_sent + the one under way."""

    requests: int = 0
    answered: int = 0
    in_vain: int = 0  # nobody answered in time
    refused: int = 0  # a negative response, and no other
    not_sent: int = 0  # the bus did not take it
    pending: int = 0  # "response pending" heard
    discoveries: int = 0


@dataclass(slots=True)
class _Task:
    """A request that comes again."""

    payload: bytes
    every_s: float
    due_s: float
    to: Controller | None = None
    """None: all of them."""
    answer_ids: frozenset[int] = frozenset()
    in_vain: int = 0


@dataclass(slots=True)
class _Exchange:
    """The request that is under way."""

    payload: bytes
    to: Controller | None
    answers_by_s: float
    """When those that do not say otherwise must have answered."""
    deadline_s: float
    """Later while a long answer is coming, or one is pending."""
    wanted: frozenset[int]
    """Whose answers end it; empty where it is not known who will answer."""
    task: _Task | None = None
    pending: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    hopeless: set[int] = field(default_factory=set)


class ObdPoller:
    """One bus. `now_s` is any clock that never goes back."""

    def __init__(self, plan: PollPlan) -> None:
        self.counts = PollCounts()
        self.controllers: dict[int, Controller] = {}
        """Those that answered, by the identifier of their answers (1 << 29 added to those of 29 bits)."""
        self._plan = plan
        self._isotp = IsoTp()
        self._pids: dict[int, set[int]] = {}  # by controller, what it says it has
        self._tasks: list[_Task] = []
        self._exchange: _Exchange | None = None
        self._to_discover: list[tuple[Width, bytes]] = []
        self._width: Width = plan.widths[0]
        self._discover_s = 0.0
        self._probe_s = PROBE_FIRST_S
        self._not_before_s = 0.0
        self._last_frame_s: float | None = None
        self._in_vain = 0

    def next(self, now_s: float) -> Frame | None:
        """The request to be sent now, None while there is none or one is under way; see `wait_s`."""
        if self._exchange is not None:
            if now_s < self._exchange.deadline_s:
                return None
            self._end(self._exchange, now_s)
        if now_s < self._not_before_s:
            return None
        if now_s >= self._discover_s and not self._to_discover:
            self._begin_discovery()
        if self._to_discover:
            width, payload = self._to_discover.pop(0)
            self._width = width
            return self._ask(
                payload, None, frozenset(self.controllers) if payload == _VIN else frozenset(), None, now_s
            )
        task = min(self._tasks, key=lambda task: task.due_s, default=None)
        if task is None or task.due_s > now_s:
            return None
        task.due_s = max(task.due_s + task.every_s, now_s)
        return self._ask(task.payload, task.to, task.answer_ids, task, now_s)

    def wait_s(self, now_s: float) -> float:
        """How long until `next` may give something, if nothing is heard until then."""
        if self._exchange is not None:
            return max(self._exchange.deadline_s - now_s, 0.0)
        due_s = min((task.due_s for task in self._tasks), default=self._discover_s)
        if self._to_discover:
            due_s = now_s
        return max(min(due_s, self._discover_s), self._not_before_s, now_s) - now_s

    def take(self, frame: Frame, now_s: float) -> Frame | None:
        """A frame that may be an answer; the flow control that it asks for."""
        controller = self._sender(frame.arbitration_id, frame.is_extended)
        exchange = self._exchange
        if controller is None or exchange is None or not frame.data:
            return None
        key = _key(controller)
        if exchange.to is not None and key != _key(exchange.to):
            return None
        started = self._isotp.counts.started
        payload = self._isotp.take(round(now_s * 1000), key, frame.data)
        if payload is not None:
            self._take_answer(exchange, controller, payload, now_s)
            return None
        is_beginning = self._isotp.counts.started > started
        if is_beginning and frame.data[2] != exchange.payload[0] | IS_ANSWER:
            return None  # somebody else asked for it
        if is_beginning or self._isotp.open:
            exchange.deadline_s = max(exchange.deadline_s, now_s + MULTI_FRAME_S)
        return go_on(controller) if is_beginning else None

    def note_traffic(self, now_s: float) -> bool:
        """Something was said on the bus, whatever it was; whether that brings the next probe at once."""
        last_s, self._last_frame_s = self._last_frame_s, now_s
        is_awake_again = last_s is None or now_s - last_s > QUIET_S
        if not is_awake_again or self.controllers or self._exchange is not None or self._to_discover:
            return False
        self._discover_s = now_s
        self._probe_s = PROBE_FIRST_S
        return True

    def not_sent(self, now_s: float) -> None:
        """The bus did not take the request: the controller is off the bus, or there is nobody to acknowledge."""
        exchange, self._exchange = self._exchange, None
        self.counts.not_sent += 1
        if exchange is not None:
            self._go_on(exchange, now_s)

    def _ask(
        self, payload: bytes, to: Controller | None, wanted: frozenset[int], task: _Task | None, now_s: float
    ) -> Frame:
        self.counts.requests += 1
        self._isotp = IsoTp()  # what began before and never ended is not waited for any longer
        by_s = now_s + ANSWER_WITHIN_S
        self._exchange = _Exchange(payload, to, by_s, by_s, wanted, task)
        self._not_before_s = now_s + 1 / self._plan.most_per_s
        return to_all(self._width, payload) if to is None else to_one(to, payload)

    def _sender(self, arbitration_id: int, is_extended: bool) -> Controller | None:
        for controller in self._plan.controllers:
            if (controller.answer_id, controller.is_extended) == (arbitration_id, is_extended):
                return controller
        return controller_of(arbitration_id, is_extended)

    def _take_answer(self, exchange: _Exchange, controller: Controller, payload: bytes, now_s: float) -> None:
        key, service = _key(controller), exchange.payload[0]
        if payload[0] == REFUSAL and payload[1:2] == bytes([service]):
            code = payload[2] if len(payload) > 2 else 0
            if code == PENDING:
                self.counts.pending += 1
                exchange.deadline_s = max(exchange.deadline_s, now_s + PENDING_S)
                exchange.pending.add(key)
                return
            exchange.refused.add(key)
            if code in _NOT_SUPPORTED:
                exchange.hopeless.add(key)
        elif payload[: len(_echo(exchange.payload))] == _echo(exchange.payload):
            exchange.answered.add(key)
            if exchange.to is None:
                self.controllers.setdefault(key, controller)
            if service == CURRENT_DATA - IS_ANSWER and exchange.payload[1] % _BLOCK == 0:
                self._learn(key, exchange.payload[1], payload[2:6])
        else:
            return  # to somebody else's question
        exchange.pending.discard(key)
        if exchange.pending or self._isotp.open:
            return
        exchange.deadline_s = max(exchange.answers_by_s, now_s)
        if exchange.wanted and exchange.wanted <= exchange.answered | exchange.refused:
            self._end(exchange, now_s)

    def _end(self, exchange: _Exchange, now_s: float) -> None:
        self._exchange = None
        if exchange.answered:
            self.counts.answered += 1
        elif exchange.refused:
            self.counts.refused += 1
        else:
            self.counts.in_vain += 1
        self._judge_task(exchange)
        self._go_on(exchange, now_s)

    def _go_on(self, exchange: _Exchange, now_s: float) -> None:
        """What the end of an exchange, however it ended, means for the next."""
        is_heard = bool(exchange.answered or exchange.refused)
        if is_heard:
            self._in_vain, self._probe_s = 0, PROBE_FIRST_S
        else:
            self._in_vain += 1
        if not self._to_discover and (not self.controllers or self._in_vain >= MOST_IN_VAIN):
            self._sleep(now_s)
        elif exchange.task is None and self.controllers:
            self._go_on_discovering(exchange, now_s)

    def _judge_task(self, exchange: _Exchange) -> None:
        """What nobody gives is not asked for again until the next discovery."""
        task = exchange.task
        if task is None:
            return
        task.in_vain = 0 if exchange.answered else task.in_vain + 1
        wanted = exchange.wanted or exchange.refused
        if task.in_vain >= MOST_IN_VAIN or (wanted and wanted <= exchange.hopeless):
            self._tasks = [other for other in self._tasks if other is not task]

    def _sleep(self, now_s: float) -> None:
        """Nobody is there: forget them, and probe after a while."""
        self.controllers, self._pids, self._tasks = {}, {}, []
        self._in_vain = 0
        self._discover_s = now_s + self._probe_s
        self._probe_s = min(2 * self._probe_s, PROBE_LIMIT_S)

    def _begin_discovery(self) -> None:
        self.counts.discoveries += 1
        widths = self._plan.widths if not self.controllers else (self._width,)
        self._to_discover = [(width, bytes([CURRENT_DATA - IS_ANSWER, 0])) for width in widths]
        self._discover_s = float("inf")

    def _go_on_discovering(self, exchange: _Exchange, now_s: float) -> None:
        """After a question of discovery: the next one, or the plan that came out."""
        if exchange.payload[0] == CURRENT_DATA - IS_ANSWER:
            following = exchange.payload[1] + _BLOCK
            if any(following in pids for pids in self._pids.values()):
                self._to_discover = [(self._width, bytes([exchange.payload[0], following]))]
                return
            self._to_discover = [(self._width, _VIN)]
            return
        self._make_tasks(now_s)

    def _learn(self, key: int, first: int, bits: bytes) -> None:
        mask = int.from_bytes(bits.ljust(4, b"\0"), "big")
        numbers = {first + place for place in range(1, _BLOCK + 1) if mask >> (_BLOCK - place) & 1}
        self._pids.setdefault(key, set()).update(numbers)

    def _make_tasks(self, now_s: float) -> None:
        self._discover_s = now_s + REDISCOVER_S
        due = {(task.payload, task.to): task.due_s for task in self._tasks}
        self._tasks = list(self._wanted(now_s))
        for task in self._tasks:
            task.due_s = due.get((task.payload, task.to), now_s)

    def _wanted(self, now_s: float) -> Iterator[_Task]:
        for pid, every_s in self._plan.pids.items():
            who = frozenset(key for key, pids in self._pids.items() if pid in pids)
            if who:
                yield _Task(bytes([CURRENT_DATA - IS_ANSWER, pid]), every_s, now_s, None, who)
        every_s = self._plan.trouble_codes_s
        if not every_s:
            return
        for payload in _LISTS:
            yield _Task(payload, every_s, now_s, None, frozenset(self.controllers))
        if self._plan.uds:
            known: Iterable[Controller] = {**self.controllers, **{_key(c): c for c in self._plan.controllers}}.values()
            for controller in known:
                yield _Task(_CODES_BY_STATUS, every_s, now_s, controller, frozenset({_key(controller)}))


def _key(controller: Controller) -> int:
    return controller.answer_id | (_EXTENDED if controller.is_extended else 0)


def _echo(request: bytes) -> bytes:
    """How an answer to this request begins."""
    head = bytes([request[0] | IS_ANSWER])
    return head if len(request) == 1 else head + request[1:2]
