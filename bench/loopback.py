"""A bus where there is none: a process of its own sends CAN frames as datagrams, as fast as a full bus has them.

    python -m bench.loopback RATE COUNT PORT…     < frames of 16 bytes each, which go to the ports in turn

COUNT frames are sent; fewer come again from the beginning.

A UDP socket gives its reader the same times and counts as a CAN socket, so the reader's own code is what runs.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from struct import Struct
from typing import Final

from edge.buses.socketcan import receive_with_times
from edge.buses.socketcan_reader import BUFFER_BYTES
from edge.frame import Frame

END_ID: Final = 0x1FFFFFFF
"""The identifier of the frame that follows the last one."""

FULL_BUS: Final = 4_000
"""Frames a second on a bus of 500 kbit/s at full load."""

_FRAME: Final = Struct("=IB3x8s")
_EXTENDED: Final = 0x80000000
_BURST_S: Final = 0.001


class LoopbackInterface:
    """What edge.buses.socketcan_reader reads, and its port."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        receive_with_times(self.socket, BUFFER_BYTES)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def open(self) -> socket.socket:
        """See edge.buses.socketcan_reader.Interface."""
        return self.socket


def pack_frames(frames: Iterable[Frame]) -> bytes:
    """Classic frames as the kernel has them."""
    return b"".join(
        _FRAME.pack(frame.arbitration_id | (_EXTENDED if frame.is_extended else 0), len(frame.data), frame.data)
        for frame in frames
    )


@contextmanager
def sending(packed: bytes, ports: Sequence[int], *, rate: int, count: int | None = None) -> Iterator[None]:
    """A process sends the frames, again and again up to `count`, `rate` a second to all ports together, and then each
    port its end."""
    total = len(packed) // _FRAME.size if count is None else count
    command = [sys.executable, "-m", "bench.loopback", str(rate), str(total), *map(str, ports)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(packed)
        process.stdin.close()
        try:
            yield
        finally:
            process.terminate()


def main() -> None:
    """Send what comes on stdin."""
    rate, count, *ports = map(int, sys.argv[1:])
    packed = sys.stdin.buffer.read()
    frames = [packed[begin : begin + _FRAME.size] for begin in range(0, len(packed), _FRAME.size)]
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ports]
    for sender, port in zip(senders, ports, strict=True):
        sender.connect(("127.0.0.1", port))
    began_s, sent = time.monotonic(), 0
    while sent < count:
        due = min(int((time.monotonic() - began_s) * rate), count)
        for place in range(sent, due):
            senders[place % len(senders)].send(frames[place % len(frames)])
        sent = max(sent, due)
        time.sleep(_BURST_S)
    for sender in senders:
        sender.send(_FRAME.pack(_EXTENDED | END_ID, 0, b""))


if __name__ == "__main__":
    main()
