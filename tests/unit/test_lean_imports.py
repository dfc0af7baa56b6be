"""What an agent must not hold in memory: it runs where 80 MB are many."""

import subprocess
import sys

import pytest

OPEN_A_BUS = """
import sys
from edge.buses.open_bus import open_bus
from edge.config import CanSettings
open_bus(CanSettings(interface="virtual", channel="lean"))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("heavy", ["asammdf", "pandas", "numpy"])
def test_an_agent_that_reads_through_python_can_does_not_hold(heavy: str) -> None:
    ran = subprocess.run([sys.executable, "-c", OPEN_A_BUS], capture_output=True, text=True, check=True)

    loaded = ran.stdout.split()

    assert "can" in loaded
    assert heavy not in loaded
