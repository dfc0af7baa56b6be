"""The allocator's settings, seen in a process of its own: what is let go of goes back, and heaps are few."""

import os
import platform
import subprocess
import sys

import pytest

from cloud.running.allocator import ARENAS

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to set in another libc")

PROBE = """
import ctypes, sys, tempfile, threading

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.fopen.restype = ctypes.c_void_p
if sys.argv[1] == "settled":
    from cloud.running.allocator import settle
    settle()
bytes(8_000_000)  # freed at once: the allocator's own threshold moves beyond it
before = libc.mallinfo2().hblkhd
kept = bytes(1_000_000)
together = threading.Barrier(6)

def allocate():
    together.wait()
    blocks = [bytes(10_000) for _ in range(50)]
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    heaps = file.read().count(b"<heap ")
print(libc.mallinfo2().hblkhd - before, heaps)
"""


def probe(how: str) -> tuple[int, int]:
    """Bytes in mappings of their own, and heaps."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    argv = [sys.executable, "-c", PROBE, how]
    found = subprocess.run(argv, env=environ, check=True, capture_output=True, text=True, timeout=60)
    mapped, heaps = found.stdout.split()
    return int(mapped), int(heaps)


def test_large_blocks_are_mapped_by_themselves_and_heaps_are_few() -> None:
    mapped, heaps = probe("settled")
    assert mapped >= 1_000_000
    assert heaps <= ARENAS


def test_without_it_they_would_not_be() -> None:
    mapped, heaps = probe("as it is")
    assert mapped < 1_000_000
    assert heaps > ARENAS
