"""What a short command spares: the search for garbage among what it needs until its end."""

import gc
import subprocess
import sys
from pathlib import Path

from fleetwire.garbage import no_collections, rare_collections

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
from fleetwire.garbage import rare_collections
class Told:
    def __del__(self):
        print("searched")
with rare_collections():
    told = Told()
    told.itself = told
del told
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
