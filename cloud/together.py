"""Questions that come while others are being answered are answered together, with one asking of the foreign server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """`answer_all` is given at most `at_once` questions and answers each, in their order."""

    def __init__(
        self, answer_all: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]], *, at_once: int
    ) -> None:
        self._answer_all = answer_all
        self._at_once = at_once
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None  # remembered: asking for it is a system call

    async def ask(self, question: Question) -> Answer:
        """Waits for `run`. What waits is bounded by those who ask."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((question, future))
        self._arrived.set()
        return await future

    async def run(self) -> None:
        """Until cancelled; then those who wait are cancelled too."""
        taken: Sequence[tuple[Question, asyncio.Future[Answer]]] = ()
        try:
            while True:
                await self._arrived.wait()
                taken, self._waiting = self._waiting[: self._at_once], self._waiting[self._at_once :]
                if not self._waiting:
                    self._arrived.clear()
                answers = await self._answer_all([question for question, _ in taken])
                for (_, future), answer in zip(taken, answers, strict=True):
                    if not future.done():  # whoever asked may have gone
                        future.set_result(answer)
        finally:
            for _, future in (*taken, *self._waiting):
                future.cancel()
