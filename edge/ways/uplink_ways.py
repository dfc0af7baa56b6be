"""Several ways to the cloud as one transport: the cheapest that works carries each request, the next one in its place.

A request that had no good answer over one way is sent over the next at once. If it was taken all the same, the cloud
knows it by its number: nothing is there twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from random import Random
from typing import Final

import structlog

from edge.ways.transport import AgentTransport, Answer, read_reply
from edge.ways.way_choice import WayChoice

OVERHEAD_BYTES: Final = 600
"""What a request and its answer take beside their bodies: headers, TLS, TCP, acknowledgements; an estimate."""

_ANSWERS: Final = frozenset(
    (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
)
"""The cloud says so, and would over any way."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Way:
    """One of them. `is_up` says whether it may be tried now."""

    name: str
    url: str
    transport: AgentTransport
    quota_bytes: int | None = None
    """A month's, None if it costs nothing."""
    is_up: Callable[[], bool] = field(default=lambda: True)
    problem: str | None = None
    """Why the last request over it came to nothing, None if it was answered."""


class Ways:
    """An AgentTransport. `used_bytes` are counted by the way's name until they are taken."""

    def __init__(self, ways: Sequence[Way], *, dice: Random | None = None) -> None:
        self.ways = ways
        self.present = 0
        """Which one the cloud answered over last, or else the first that may be tried."""
        self._choice = WayChoice(len(ways), dice or Random())
        self._used: dict[str, int] = {}

    def take_used(self) -> dict[str, int]:
        """Bytes by the way's name since they were last taken."""
        used, self._used = self._used, {}
        return used

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        """See Transport. Of several failures, a refused credential is told before a line that is dead.

        Of several dead lines, the one that was waited for longest is told.
        """
        return await self._first_that_answers(
            body, lambda transport: transport.send(body, timeout_s=timeout_s), _is_answer
        )

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        """See Transport."""
        return await self._first_that_answers(
            body, lambda transport: transport.send_catalog(name, body), lambda answer: 200 <= answer.status < 300
        )

    async def fetch_campaign(self) -> Answer:
        """See CampaignSource."""
        return await self._first_that_answers(b"", lambda transport: transport.fetch_campaign(), _is_campaign)

    async def _first_that_answers(
        self, body: bytes, send: Callable[[AgentTransport], Awaitable[Answer]], is_answer: Callable[[Answer], bool]
    ) -> Answer:
        answers: list[Answer] = []
        for place in self._choice.order(_now_s(), [way.is_up() for way in self.ways]):
            way = self.ways[place]
            began_s = _now_s()
            answer = await send(way.transport)
            answer = replace(answer, took_s=_now_s() - began_s)
            if answer.is_sent:
                used = len(body) + len(answer.body) + OVERHEAD_BYTES
                self._used[way.name] = self._used.get(way.name, 0) + used
            if is_answer(answer):
                self._note_good(place)
                return answer
            self._note_bad(place, answer)
            answers.append(answer)
        if not answers:
            return Answer(problem=f"no uplink is up: {', '.join(way.name for way in self.ways)}")
        return max(answers, key=lambda answer: (answer.status in _REFUSALS, bool(answer.status), answer.took_s or 0.0))

    def _note_good(self, place: int) -> None:
        self._choice.worked(place)
        way = self.ways[place]
        way.problem = None
        if place != self.present:
            log.info("uplink_changed", way=way.name, url=way.url, before=self.ways[self.present].name)
            self.present = place

    def _note_bad(self, place: int, answer: Answer) -> None:
        way = self.ways[place]
        problem = answer.problem or f"{answer.status}: {answer.body[:100].decode(errors='replace')}"
        if len(self.ways) > 1 and problem != way.problem:
            log.warning("uplink_way_failed", way=way.name, problem=problem)
        way.problem = problem
        self._choice.failed(place, _now_s())


def _now_s() -> float:
    return asyncio.get_running_loop().time()


_REFUSALS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def _is_campaign(answer: Answer) -> bool:
    """Whether the cloud said it: one, or that there is none."""
    if answer.status == HTTPStatus.OK:
        return answer.body.lstrip().startswith(b"{")
    return answer.status in _ANSWERS or answer.status == HTTPStatus.NOT_FOUND


def _is_answer(answer: Answer) -> bool:
    """Whether the cloud said it; a captive portal says 200, or 403, to everything."""
    return answer.status in _ANSWERS or (answer.status == HTTPStatus.OK and read_reply(answer.body) is not None)
