"""fleetwire edge prove: show that nothing is lost, on the computer that will be in the vehicle."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.config import CanSettings, EdgeConfig, GpsSettings, load_edge_config
from edge.frame_source import REPLAY
from fleetwire.plain_errors import errors_in_a_line
from fleetwire.recordings_by_bus import as_replay, by_bus
from simulator.proof.schedule import KINDS

if TYPE_CHECKING:
    from simulator.proof.prove import Finding

DRIVE_MINUTES = 10.0


@click.command(short_help="Show that nothing is lost: kill, cut, fill and step while a recording is played.")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The agent's settings, as for 'run'.",
)
@click.option(
    "--replay",
    "recordings",
    multiple=True,
    metavar="[BUS=]FILE",
    help="The recording that a bus plays, by its name or channel; the first bus without. Repeatable.",
)
@click.option("--seconds", type=click.FloatRange(1, 86_400), default=60.0, show_default=True, help="How long it plays.")
@click.option("--seed", default=1, show_default=True, help="Another seed, other faults at other moments.")
@click.option("--only", "kinds", multiple=True, type=click.Choice(KINDS), help="This kind of fault only. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in the end, and nothing meanwhile.")
def prove(
    config_path: Path, recordings: Sequence[str], seconds: float, seed: int, kinds: Sequence[str], *, as_json: bool
) -> None:
    """Play a recording through the real agent while everything goes wrong, and account for every sample.

    The agent of your settings (databases, sampling, batches, spool bound) runs as a process of its own. It is killed
    with kill -9, its disk is filled to the last byte, its clock is set to other hours, 1970 and 2038, its link is cut,
    silent, slow or repeats itself, and the queue at the other end is wiped. That end is a small receiver in this
    process with the cloud's own rules. No network and no cloud are needed; your spool, token, buses and GPS are not
    touched, and the agent that is running now may go on.

    Without --replay the recordings of your settings are played or, where they name none, a generated drive of ten
    minutes, decoded with Fleetwire's own database in place of yours.

    \b
    frames   what was played = what the agent took
    samples  seen = kept + filtered (by your sampling) + dropped (each with its cause)
    lost     batches that the agent called stored, and that neither arrived nor were declared lost
    \b
    What is in the agent's memory when it is killed, up to [batch] max_age_ms of it, cannot be kept by anyone: it is
    dropped and counted. The exit status is 0 if nothing is lost, nothing is there twice and everything adds up.
    \b
    fleetwire edge prove --config edge.toml
    fleetwire edge prove --config edge.toml --replay can0=drive.log --seconds 600 --seed 7
    """
    from simulator.errors import SimulatorError
    from simulator.proof.prove import Proof
    from simulator.proof.prove import prove as run_proof

    say = _quiet if as_json else click.echo
    with errors_in_a_line(), tempfile.TemporaryDirectory() as folder:
        config = replayed(load_edge_config(config_path), recordings, Path(folder))
        proof = Proof(config, seconds, seed, kinds=tuple(kind for kind in KINDS if not kinds or kind in kinds))
        try:
            finding = asyncio.run(run_proof(proof, say=say))
        except SimulatorError as error:
            raise click.ClickException(str(error)) from error
    click.echo(json.dumps(as_plain(finding), indent=1) if as_json else render(finding))
    sys.exit(not finding.account.is_proven)


def replayed(config: EdgeConfig, recordings: Sequence[str], folder: Path) -> EdgeConfig:
    """The settings with replays in place of buses and receivers. Raises click.UsageError for what is not there."""
    chosen = by_bus(config, recordings)
    buses = [as_replay(bus, chosen[index]) for index, bus in enumerate(config.can) if index in chosen]
    buses = buses or [bus for bus in config.can if bus.interface == REPLAY]
    gps = config.gps if config.gps is not None and config.gps.can is not None else None
    if not buses:
        bus, gps = _generated(folder)
        buses = [bus]
        click.echo(f"playing a generated drive of {DRIVE_MINUTES:.0f} minutes; --replay FILE plays yours", err=True)
    return config.model_copy(update={"can": tuple(buses), "gps": gps})


def as_plain(finding: Finding) -> dict[str, object]:
    """For --json."""
    account = finding.account
    return {
        "proven": account.is_proven,
        **asdict(account),
        "faults": finding.done,
        "left_out": finding.left_out,
        "seconds": round(finding.took_s, 1),
    }


def render(finding: Finding) -> str:
    """For people."""
    account = finding.account
    faults = ", ".join(f"{count} {kind}" for kind, count in finding.done.items()) or "none"
    lines = [
        "",
        f"faults    {faults}; the agent ran {account.lives} times; {finding.took_s:.0f} s",
        f"frames    played {account.played:,} = taken {account.taken:,}",
        f"samples   seen {account.seen:,} = kept {account.kept:,} + filtered {sum(account.filtered.values()):,}"
        f" + dropped {sum(account.dropped.values()):,}",
        f"          filtered: {_causes(account.filtered)}",
        f"          dropped: {_causes(account.dropped)}",
        f"fixes     seen {account.fixes_seen:,} = kept {account.fixes_kept:,} + dropped {account.fixes_dropped:,}",
        f"batches   stored {account.stored:,}, arrived {account.arrived:,}, declared lost {account.declared:,}; "
        f"{account.repeats:,} came again and were taken once",
        f"lost      {account.lost:,}",
        f"twice     {account.duplicated:,}",
        "",
    ]
    lines += [f"not tried: {kind}: {reason}" for kind, reason in finding.left_out.items()]
    if account.is_proven:
        return "\n".join([*lines, "proven: nothing is lost, nothing is there twice, everything adds up"])
    return "\n".join([*lines, *(f"NOT PROVEN: {problem}" for problem in account.problems)])


def _causes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{cause.replace('_', ' ')} {count:,}" for cause, count in counts.items()) or "nothing"


def _generated(folder: Path) -> tuple[CanSettings, GpsSettings | None]:
    from edge.recordings.drive_frames import DEFAULT_DATABASE, OWN_DATABASES
    from simulator.demo import find_gps_signals
    from simulator.drive_maker import drive_text, make_drive

    begin = datetime(2025, 6, 2, 6, tzinfo=UTC)
    document = make_drive(route="helsinki-airport", seed=1, minutes=DRIVE_MINUTES, start=begin, vehicle="proof")
    path = folder / "drive.json"
    path.write_text(drive_text(document), encoding="utf-8")
    database = OWN_DATABASES / DEFAULT_DATABASE
    signals = find_gps_signals([database])
    gps = None if signals is None else GpsSettings.model_validate({"can": signals})
    return CanSettings(interface=REPLAY, channel=(str(path),), dbc=(database,)), gps


def _quiet(line: str) -> None:
    """With --json nothing is said meanwhile."""
