"""A round with the database, Redis and the logs on a disk that is soon full: a small tmpfs in a sandbox."""

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.faults.rounds import Round
from bench.faults.verdict import Result

DISK_BYTES: Final = 400_000_000
CHECKOUT: Final = Path(__file__).parents[2]


class Impossible(Exception):
    """What is missing on this machine."""


async def run_on_small_disk(one: Round) -> Result:
    """Run it in a process of its own. Raises Impossible."""
    if shutil.which("bwrap") is None:
        raise Impossible("bwrap is not installed")
    with tempfile.TemporaryDirectory(prefix="fleetwire-faults-") as folder:
        disk, kept = Path(folder) / "disk", Path(folder) / "kept.jsonl"
        disk.mkdir()
        sandbox = ["bwrap", "--dev-bind", "/", "/", "--size", str(DISK_BYTES), "--tmpfs", str(disk)]
        inside = [sys.executable, "-m", "bench.faults", one.name, "--home", str(disk), "--kept", str(kept)]
        arguments = ["--trials", str(one.trials), "--seed", str(one.seed // 1_000_000)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *sandbox, *inside, *arguments, cwd=CHECKOUT, stdout=pipe, stderr=pipe
        )
        _, problem = await process.communicate()
        if process.returncode and problem.startswith(b"bwrap:"):
            raise Impossible(problem.decode().strip())
        assert kept.exists(), problem.decode()
        line = json.loads(kept.read_text().splitlines()[-1])
        del line["row"], line["seed"]
        return Result(**line)
