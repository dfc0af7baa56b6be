"""fleetwire edge: the agent in the vehicle."""

import asyncio
import gzip
import json
import logging
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import click
import structlog

from edge.agent import run_agent
from edge.campaigns.blackbox_socket import BlackboxError, read_blackbox
from edge.campaigns.forecast import HOURS_PER_DAY
from edge.config import EdgeConfig, load_edge_config
from edge.service.check import LISTEN_S, check_all
from edge.service.enrol import enrol
from edge.service.finding import Finding
from edge.service.service_manager import ServiceManager
from edge.service.status import AgentStatus
from edge.service.status_socket import ask_status
from fleetwire.edge_campaign import check_campaign
from fleetwire.edge_install import install, uninstall
from fleetwire.edge_prove import prove
from fleetwire.edge_status import render
from fleetwire.plain_errors import errors_in_a_line

RATE_S = 1.0

EXAMPLE = """\
\b
    vehicle = "truck-0001"
\b
    [[can]]                              # one per bus
    interface = "socketcan"              # any python-can interface, or "replay"
    channel = "can0"                     # for replay the file, with speed = 1.0
    dbc = ["vehicle.dbc"]                # relative to this file
\b
    [gps]
    device = "/dev/ttyAMA0"              # or gpsd://localhost:2947
\b
    [uplink]
    url = "https://ingest.example:8081"
    token_file = "token"                 # what 'fleetwire admin vehicle add' printed
"""
config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="The agent's settings, a TOML file.",
)


@click.group()
def edge() -> None:
    """The agent in the vehicle: CAN and GPS to the cloud, on its own disk until the cloud has committed it."""


edge.add_command(install)
edge.add_command(prove)
edge.add_command(uninstall)


@edge.command(
    short_help="Run the agent.",
    help=f"""Run the agent until SIGTERM or Ctrl-C; then it stops in order and loses nothing.

{EXAMPLE}
Sampling, batches and the spool have defaults; docs/edge.md tells all settings. A wrong setting, or a database that
cannot be read whole, is said at once and nothing is started.
""",
)
@config_option
@click.option(
    "--exit-when-settled",
    is_flag=True,
    help="Exit when every replay has ended and the cloud has committed everything.",
)
def run(config_path: Path, exit_when_settled: bool) -> None:
    _set_up_logging()
    with errors_in_a_line():
        asyncio.run(_run(load_edge_config(config_path), exit_when_settled=exit_when_settled))


@edge.command(short_help="Try bus, databases, GPS, clock, disk and uplink.")
@config_option
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=LISTEN_S, show_default=True, help="How long to listen."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: ok, and findings with what, level, found, advice.")
@click.option(
    "--campaign",
    "campaign",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Only: is this campaign (TOML, or .json) good for this vehicle, and what would it bring?",
)
@click.option(
    "--replay",
    "recordings",
    multiple=True,
    metavar="[BUS=]LOG",
    help="Only: what would come of this recording, by the campaign or the settings? Repeatable.",
)
@click.option(
    "--hours",
    "hours_per_day",
    type=click.FloatRange(0.1, 24),
    default=HOURS_PER_DAY,
    show_default=True,
    help="Of driving a day, for the month.",
)
def check(
    config_path: Path,
    seconds: float,
    as_json: bool,
    campaign: Path | None,
    recordings: tuple[str, ...],
    hours_per_day: float,
) -> None:
    """Try everything that the agent needs, and say what to do about what is wrong. Nothing is stored or sent.

    Each bus is listened to, and what comes is held against its databases: unknown and unseen messages, values out of
    range, cycle times. Then GPS, the clock, the disk and the uplink. FIX is a problem, and makes the exit status 1; a
    note may be as it should be. Stop the agent before: a serial port has one reader.

    With --campaign or --replay nothing is tried but that: the recording goes through the agent's own decoder, sampler,
    captures and compression, and MB a month, samples a second and captures are foretold. The agent may go on.

    \b
    fleetwire edge check --config edge.toml
    fleetwire edge check --config edge.toml --campaign brake.toml --replay can0=drive.log
    """
    _set_up_logging(logging.ERROR)
    with errors_in_a_line():
        config = load_edge_config(config_path)
        if campaign is not None or recordings:
            check_campaign(config, campaign, recordings, hours_per_day=hours_per_day, as_json=as_json)
            return
        findings = asyncio.run(_check(config, seconds, show=not as_json))
    problems = sum(finding.level == "problem" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": not problems, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        click.echo(f"\n{problems} to fix" if problems else "\nall is well")
    sys.exit(min(problems, 1))


@edge.command(short_help="What the running agent is doing.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the counts since its start as JSON.")
def status(config_path: Path, as_json: bool) -> None:
    """Ask the running agent: buses, fixes, samples, spool, uplink, and what was lost by which cause.

    Looks twice, a second apart, to tell frames a second. Ask as the agent's own user or as root.
    """
    with errors_in_a_line():
        before, after = asyncio.run(_look_twice(load_edge_config(config_path), 0 if as_json else RATE_S))
    click.echo(after.model_dump_json(indent=1) if as_json else "\n".join(render(before, after)))


@edge.command("blackbox", short_help="The newest raw frames of the running agent, as a log.")
@config_option
@click.argument("log", metavar="LOG", type=click.Path(dir_okay=False, path_type=Path))
def blackbox(config_path: Path, log: Path) -> None:
    """Write the running agent's black box to LOG: the newest raw frames of all buses, in candump's form.

    \b
    fleetwire edge blackbox --config edge.toml before-it-stalled.log
    fleetwire decode before-it-stalled.log --dbc better.dbc

    How far it reaches back says [blackbox] max_bytes in the settings, and whether frames are in it that no database
    knows, all_frames. LOG appears when it is whole; with .gz behind its name it is compressed.
    """
    with errors_in_a_line():
        count = asyncio.run(_save_blackbox(load_edge_config(config_path), log))
    click.echo(f"{count:,} frames in {log}; next: fleetwire decode {log} --dbc vehicle.dbc")


@edge.command("enroll", short_help="Get this vehicle's own token for a one-time code.")
@click.argument("code")
@click.option("--url", metavar="URL", help="The ingest address; without it, what [uplink] in the file says.")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    default="edge.toml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The agent's settings, which are completed.",
)
def enroll(code: str, url: str | None, config_path: Path) -> None:
    """Exchange a code for this vehicle's own token.

    'fleetwire admin vehicle invite ID' makes the code; it is good once. The token goes into the token file, readable by
    its owner alone. What the settings lack of vehicle and [uplink] is added to them.
    """
    with errors_in_a_line():
        done = asyncio.run(enrol(code, url=url, config=config_path))
    click.echo(f"this is '{done.vehicle}'; its token is in {done.token_file}")
    if done.config_changed:
        click.echo(f"{config_path} was completed")
    click.echo(f"next: fleetwire edge check --config {config_path}")


async def _save_blackbox(config: EdgeConfig, log: Path) -> int:
    fresh = log.with_name(f".{log.name}.part")
    try:
        with gzip.open(fresh, "wb") if log.suffix == ".gz" else fresh.open("wb") as file:
            count = await read_blackbox(config.spool.path, file.write)
        fresh.replace(log)
    except OSError as error:
        raise BlackboxError(f"{log}: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return count


async def _look_twice(config: EdgeConfig, seconds: float) -> tuple[AgentStatus, AgentStatus]:
    before = await ask_status(config.spool.path)
    if not seconds:
        return before, before
    await asyncio.sleep(seconds)
    return before, await ask_status(config.spool.path)


async def _check(config: EdgeConfig, seconds: float, *, show: bool) -> list[Finding]:
    findings = []
    async for finding in check_all(config, listen_s=seconds):
        findings.append(finding)
        if show:
            _show(finding)
    return findings


def _show(finding: Finding) -> None:
    mark = {"ok": "ok  ", "note": "note", "problem": "FIX "}[finding.level]
    click.echo(f"{mark} {finding.what:10} {finding.found}")
    if finding.advice is not None:
        click.echo(f"     {'':10} → {finding.advice}")


async def _run(config: EdgeConfig, *, exit_when_settled: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    manager = ServiceManager.of(os.environ, pid=os.getpid())
    await run_agent(config, stop, exit_when_settled=exit_when_settled, manager=manager)


def _set_up_logging(level: int = logging.INFO) -> None:
    """Events as key=value on stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
