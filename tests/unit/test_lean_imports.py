"""What an agent must not hold in memory: it runs where 80 MB are many."""

import subprocess
import sys
from pathlib import Path

import pytest

OPEN_A_BUS = """
import sys
from edge.buses.open_bus import open_bus
from edge.config import CanSettings
open_bus(CanSettings(interface="virtual", channel="lean"))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

DECODE = """
import sys
from pathlib import Path
from fleetwire.__main__ import cli
cli(sys.argv[1:], standalone_mode=False)
print("numpy" in sys.modules, len(list(Path("/proc/self/task").iterdir())))
"""


@pytest.mark.parametrize("heavy", ["asammdf", "pandas", "numpy"])
def test_an_agent_that_reads_through_python_can_does_not_hold(heavy: str) -> None:
    ran = subprocess.run([sys.executable, "-c", OPEN_A_BUS], capture_output=True, text=True, check=True)

    loaded = ran.stdout.split()

    assert "can" in loaded
    assert heavy not in loaded


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted where Linux lists them")
def test_decode_starts_no_thread_for_each_core(tmp_path: Path) -> None:
    log, dbc = tmp_path / "drive.log", tmp_path / "vehicle.dbc"
    log.write_text("(1.000000) can0 123#00\n")
    dbc.write_text('VERSION ""\nBS_:\nBU_: ECU\nBO_ 291 Engine: 1 ECU\n SG_ Gear : 0|8@1+ (1,0) [0|0] "" ECU\n')
    command = [sys.executable, "-c", DECODE, "decode", str(log), "--dbc", str(dbc)]

    ran = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines() == ["t,channel,message,signal,value", "1.000000,can0,Engine,Gear,0", "True 1"]
