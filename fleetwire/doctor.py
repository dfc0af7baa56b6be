"""fleetwire doctor: what is wrong with this installation, and what to do."""

import asyncio
import os
import sys
from pathlib import Path

import click

from cloud.config import default_home
from cloud.running.checkup import check_all


@click.command()
def doctor() -> None:
    """Look at everything Fleetwire needs and say what to do about what is missing.

    Python, Node, FLEETWIRE_HOME, the services, the database (extension, edition, synchronous_commit, migrations),
    Redis (noeviction, append-only file), ingest and web. Exit status 1 if there is something to do.
    """
    home = Path(os.environ.get("FLEETWIRE_HOME") or default_home()).absolute()
    sys.exit(asyncio.run(_report(home)))


async def _report(home: Path) -> int:
    problems = 0
    async for finding in check_all(home, os.environ):
        problems += finding.advice is not None
        click.echo(f"{'ok  ' if finding.advice is None else 'FIX '} {finding.what:9} {finding.found}")
        if finding.advice is not None:
            click.echo(f"     {'':9} → {finding.advice}")
    click.echo("\nall is well" if not problems else f"\n{problems} to fix")
    return min(problems, 1)
