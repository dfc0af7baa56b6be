"""What a short command spares: the search for garbage among what it needs until its end, and new memory."""

import gc
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from fleetwire.memory import no_collections, rare_collections

FRAMES = 20_000
DECODE = """
import gc, sys
from fleetwire.__main__ import cli
found = []
gc.callbacks.append(lambda phase, info: found.append(info["generation"]))
cli(sys.argv[1:], standalone_mode=False)
print(len(found), file=sys.stderr)
"""
AT_THE_END = """
import gc
from fleetwire.memory import rare_collections
class Told:
    def __del__(self):
        print("searched")
with rare_collections():
    told = Told()
    told.itself = told
del told
"""

MAPPED = """
import ctypes, sys
from fleetwire.memory import keep_freed_blocks
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
if sys.argv[1] == "kept":
    keep_freed_blocks()
before = libc.mallinfo2()
block = bytes(8_000_000)
mapped = libc.mallinfo2().hblkhd - before.hblkhd
del block
print(mapped, libc.mallinfo2().arena - before.arena)
"""


def test_importing_is_not_searched_and_the_rest_is_as_before() -> None:
    with no_collections():
        assert not gc.isenabled()
    assert gc.isenabled()
    usual = gc.get_threshold()
    with rare_collections():
        assert gc.get_threshold() > usual
    assert gc.get_threshold() == usual


def test_a_long_log_is_decoded_with_few_searches(tmp_path: Path) -> None:
    log, dbc = tmp_path / "drive.log", tmp_path / "vehicle.dbc"
    log.write_text("".join(f"({number}.000000) can0 123#{number:08X}\n" for number in range(FRAMES)))
    dbc.write_text('VERSION ""\nBS_:\nBU_: ECU\nBO_ 291 E: 4 ECU\n SG_ N : 7|32@0+ (1,0) [0|0] "" ECU\n')

    ran = subprocess.run(
        [sys.executable, "-c", DECODE, "decode", str(log), "--dbc", str(dbc)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(ran.stdout.splitlines()) == 1 + FRAMES
    assert int(ran.stderr.splitlines()[-1]) < 10


def test_the_end_of_the_process_is_not_searched() -> None:
    assert subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to set in another libc")
def test_a_large_block_that_is_freed_is_there_for_the_next() -> None:
    assert _mapped_and_kept("kept") == (0, pytest.approx(8_000_000, rel=0.1))
    mapped, kept = _mapped_and_kept("as it is")
    assert mapped >= 8_000_000
    assert kept < 8_000_000


def _mapped_and_kept(how: str) -> tuple[int, int]:
    """Bytes that a block of 8 MB has mapped for itself, and that are there when it is freed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", MAPPED, how]
    mapped, kept = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.split()
    return int(mapped), int(kept)
