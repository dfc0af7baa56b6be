"""Reading a request: the quick way where it is plainly good, else the thorough one; large ones out of others' way."""

import asyncio
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, TypeVar

from cloud.ingest.aside import Aside
from cloud.ingest.body import Body
from cloud.ingest.quick import MOST_BYTES, read_quickly
from cloud.ingest.reading import Reading
from cloud.ingest.thorough import read_thoroughly

IN_THREAD_FROM_BYTES: Final = 20_000
QUICK_IN_THREAD_FROM_BYTES: Final = 200_000
IN_PROCESS_FROM_BYTES: Final = 200_000
"""What the model makes of that in one call holds the interpreter for some ten ms."""

P = ParamSpec("P")
T = TypeVar("T")


async def read_request(body: Body, vehicle: str, aside: Aside) -> Reading:
    """Raises Problem 400, 403, 413, 422 or 503; then nothing of it is to be taken."""
    quick = await _read_quickly(body, vehicle)
    if quick is None:
        if len(body.plain) < IN_PROCESS_FROM_BYTES:
            return await in_thread(read_thoroughly, body.plain, vehicle)
        return await aside.read(body.plain, vehicle)
    return quick


def read_at_once(body: Body, vehicle: str) -> Reading | None:
    """What is plainly good and not so large that others would have to wait."""
    if len(body.plain) >= QUICK_IN_THREAD_FROM_BYTES:
        return None
    return read_quickly(body.plain, vehicle, body.frame)


async def in_thread(work: Callable[Concatenate[bytes, P], T], plain: bytes, *args: P.args, **kwargs: P.kwargs) -> T:
    """`work` on `plain`, in a thread where that takes a while, so that others are answered meanwhile."""
    if len(plain) < IN_THREAD_FROM_BYTES:
        return work(plain, *args, **kwargs)
    return await asyncio.to_thread(work, plain, *args, **kwargs)


async def _read_quickly(body: Body, vehicle: str) -> Reading | None:
    if QUICK_IN_THREAD_FROM_BYTES <= len(body.plain) <= MOST_BYTES:
        return await asyncio.to_thread(read_quickly, body.plain, vehicle, body.frame)
    return read_at_once(body, vehicle)
