"""Questions that wait are answered together, each with its own answer, and nobody waits for ever."""

import asyncio
from collections.abc import Sequence

import pytest

from cloud import together
from cloud.together import ENOUGH, Together


async def test_questions_that_come_meanwhile_share_the_next_asking() -> None:
    askings: list[Sequence[int]] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    async def square(questions: Sequence[int]) -> list[int]:
        askings.append(questions)
        began.set()
        await go_on.wait()
        return [question**2 for question in questions]

    questions = Together(square, at_once=3)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(questions.run())
        asked = [tasks.create_task(questions.ask(0))]
        await began.wait()
        asked += [tasks.create_task(questions.ask(number)) for number in range(1, 6)]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*asked) == [0, 1, 4, 9, 16, 25]
        running.cancel()
    assert askings == [[0], [1, 2, 3], [4, 5]]


async def test_those_who_come_one_by_one_share_an_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "EVERY_S", 3600.0)
    askings: list[Sequence[int]] = []

    async def same(questions: Sequence[int]) -> Sequence[int]:
        askings.append(questions)
        return questions

    questions = Together(same, at_once=100)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(questions.run())
        assert await questions.ask(0) == 0
        asked = []
        for number in range(1, ENOUGH + 1):
            assert askings == [[0]]
            asked.append(tasks.create_task(questions.ask(number)))
            for _ in range(5):
                await asyncio.sleep(0)
        await asyncio.gather(*asked)
        running.cancel()
    assert askings == [[0], [*range(1, ENOUGH + 1)]]


async def test_few_do_not_wait_for_more_for_long() -> None:
    async def same(questions: Sequence[int]) -> Sequence[int]:
        return questions

    questions = Together(same, at_once=100)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(questions.run())
        async with asyncio.timeout(5):
            assert [await questions.ask(number) for number in range(3)] == [0, 1, 2]
        running.cancel()


async def test_asker_who_goes_costs_the_others_nothing() -> None:
    go_on = asyncio.Event()

    async def same(questions: Sequence[int]) -> Sequence[int]:
        await go_on.wait()
        return questions

    questions = Together(same, at_once=10)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(questions.run())
        gone, stays = tasks.create_task(questions.ask(1)), tasks.create_task(questions.ask(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert await stays == 2
        running.cancel()


async def test_whoever_waits_when_it_ends_is_cancelled() -> None:
    async def never(_: Sequence[int]) -> Sequence[int]:
        await asyncio.Event().wait()
        raise AssertionError

    questions = Together(never, at_once=1)
    running = asyncio.create_task(questions.run())
    waiting = [asyncio.create_task(questions.ask(number)) for number in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    for task in waiting:
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_asking_that_is_cancelled_by_nobody_is_said_and_not_waited_for() -> None:
    async def gives_up(_: Sequence[int]) -> Sequence[int]:
        raise asyncio.CancelledError

    questions = Together(gives_up, at_once=1)
    asked = asyncio.create_task(questions.ask(1))
    with pytest.raises(RuntimeError, match="cancelled by nobody"):
        await asyncio.create_task(questions.run())
    with pytest.raises(asyncio.CancelledError):
        await asked
