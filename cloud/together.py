"""Questions that come while others are being answered are answered together, with one asking of the foreign server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

EVERY_S: Final = 0.005
ENOUGH: Final = 8
"""Questions that are not kept waiting for more to come."""

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Told = TypeVar("Told", contravariant=True)


class Asker(Protocol[Told]):
    """Who is told an answer: a future, or what costs less than one and a task that waits for it."""

    def done(self) -> bool:
        """Whether nobody waits any more."""

    def set_result(self, result: Told, /) -> None:
        """The answer. Must not raise, for others wait too."""

    def cancel(self) -> object:
        """There will be no answer: the process ends."""


class Together(Generic[Question, Answer]):
    """`answer_all` is given at most `at_once` questions and answers each, in their order.

    An asking costs three processes much more than one question in it. So that those who come one by one do not make as
    many askings, each begins at least `EVERY_S` after the one before, unless `ENOUGH` wait.
    """

    def __init__(
        self, answer_all: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]], *, at_once: int
    ) -> None:
        self._answer_all = answer_all
        self._at_once = at_once
        self._waiting: list[tuple[Question, Asker[Answer]]] = []
        self._wanted = 1
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # remembered: asking for it is a system call

    async def ask(self, question: Question) -> Answer:
        """Waits for `run`. What waits is bounded by those who ask."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = self._loop.create_future()
        self.put(question, future)
        return await future

    def put(self, question: Question, asker: Asker[Answer]) -> None:
        """As `ask`, without waiting: `run` tells the asker."""
        self._waiting.append((question, asker))
        if len(self._waiting) >= self._wanted:
            self._arrived.set()

    async def run(self) -> None:
        """Until cancelled; then those who wait are cancelled too."""
        taken: Sequence[tuple[Question, Asker[Answer]]] = ()
        loop = asyncio.get_running_loop()
        next_s = 0.0
        try:
            while True:
                await self._arrived.wait()
                if (left_s := next_s - loop.time()) > 0 and len(self._waiting) < ENOUGH:
                    await self._gather(left_s)
                next_s = loop.time() + EVERY_S
                taken, self._waiting = self._waiting[: self._at_once], self._waiting[self._at_once :]
                if not self._waiting:
                    self._arrived.clear()
                answers = await self._answers([question for question, _ in taken])
                for (_, asker), answer in zip(taken, answers, strict=True):
                    if not asker.done():
                        asker.set_result(answer)
        finally:
            for _, asker in (*taken, *self._waiting):
                asker.cancel()

    async def _answers(self, questions: Sequence[Question]) -> Sequence[Answer]:
        task = asyncio.current_task()
        try:
            return await self._answer_all(questions)
        except asyncio.CancelledError as error:
            if task is None or task.cancelling():
                raise
            raise RuntimeError("cancelled by nobody") from error  # else this would end unseen, and all wait for ever

    async def _gather(self, left_s: float) -> None:
        """Until that time is over or enough wait."""
        self._arrived.clear()
        self._wanted = ENOUGH
        timer = asyncio.get_running_loop().call_later(left_s, self._arrived.set)
        try:
            await self._arrived.wait()
        finally:
            timer.cancel()
            self._wanted = 1
