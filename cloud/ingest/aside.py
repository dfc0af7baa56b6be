"""Large requests are read in a process of its own: what takes long there keeps nobody waiting here.

A thread would not do: JSON of some megabytes is parsed in single calls that hold the interpreter for a second.
The process begins with the first such request, reads one at a time, and ends with its input, however its owner ended.
"""

import asyncio
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, Final

import structlog

from cloud.ingest.reading import Reading
from cloud.ingest.retry import try_again
from cloud.ingest.thorough import read_thoroughly
from cloud.problem import Problem

PATIENCE_S: Final = 60.0
"""For one request. The largest takes some seconds."""
NICENESS: Final = 5
"""What agents send usually goes before."""
_LENGTH_BYTES: Final = 8
_PORTION: Final = 262_144

log = structlog.get_logger()


class Aside:
    """Use `reading_aside`."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def read(self, plain: bytes, vehicle: str) -> Reading:
        """As `read_thoroughly`. Raises Problem 503, too: then nothing of it was read."""
        async with self._turn:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answer = await _exchange(await self._begun(), pickle.dumps((plain, vehicle)))
            except (OSError, EOFError, TimeoutError) as error:
                await self.end()
                problem = f"{type(error).__name__}: {error}"
                log.warning("a large request was not read", bytes=len(plain), problem=problem)
                raise try_again("a request of this size cannot be read now; send fewer batches at once") from error
            except BaseException:  # the rest of its answer would be taken for that of the next
                await self.end()
                raise
        reading: Reading | tuple[int, str] = pickle.loads(answer)
        if isinstance(reading, Reading):
            return reading
        raise Problem(*reading)

    async def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def _begun(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            await self.end()
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", __name__, stdin=pipe, stdout=pipe
            )
        return self._process


@asynccontextmanager
async def reading_aside() -> AsyncIterator[Aside]:
    aside = Aside()
    try:
        yield aside
    finally:
        await aside.end()


async def _exchange(process: asyncio.subprocess.Process, said: bytes) -> bytes:
    assert process.stdin
    assert process.stdout
    process.stdin.write(len(said).to_bytes(_LENGTH_BYTES))
    for begin in range(0, len(said), _PORTION):
        process.stdin.write(said[begin : begin + _PORTION])
        await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(_LENGTH_BYTES))
    return await process.stdout.readexactly(length)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Until there are no more."""
    while header := requests.read(_LENGTH_BYTES):
        plain, vehicle = pickle.loads(requests.read(int.from_bytes(header)))
        try:
            answer: Reading | tuple[int, str] = read_thoroughly(plain, vehicle)
        except Problem as problem:
            answer = problem.status, problem.detail
        said = pickle.dumps(answer)
        answers.write(len(said).to_bytes(_LENGTH_BYTES) + said)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a terminal sends to the owner, too: that one decides
    os.nice(NICENESS)
    serve(sys.stdin.buffer, sys.stdout.buffer)
