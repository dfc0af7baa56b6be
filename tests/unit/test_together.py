"""Questions that wait are answered together, each with its own answer, and nobody waits for ever."""

import asyncio
from collections.abc import Sequence

import pytest

from cloud.together import Together


async def test_questions_that_come_meanwhile_share_the_next_asking() -> None:
    askings: list[Sequence[int]] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    async def square(questions: Sequence[int]) -> list[int]:
        askings.append(questions)
        began.set()
        await go_on.wait()
        return [question**2 for question in questions]

    together = Together(square, at_once=3)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(together.run())
        asked = [tasks.create_task(together.ask(0))]
        await began.wait()
        asked += [tasks.create_task(together.ask(number)) for number in range(1, 6)]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*asked) == [0, 1, 4, 9, 16, 25]
        running.cancel()
    assert askings == [[0], [1, 2, 3], [4, 5]]


async def test_asker_who_goes_costs_the_others_nothing() -> None:
    go_on = asyncio.Event()

    async def same(questions: Sequence[int]) -> Sequence[int]:
        await go_on.wait()
        return questions

    together = Together(same, at_once=10)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(together.run())
        gone, stays = tasks.create_task(together.ask(1)), tasks.create_task(together.ask(2))
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

    together = Together(never, at_once=1)
    running = asyncio.create_task(together.run())
    waiting = [asyncio.create_task(together.ask(number)) for number in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    for task in waiting:
        with pytest.raises(asyncio.CancelledError):
            await task
