"""fleetwire edge: the agent in the vehicle."""

import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import structlog

from edge.agent import run_agent
from edge.agent_plan import plan_agent, read_token
from edge.config import EdgeConfig, load_edge_config
from edge.enrol import enrol
from edge.errors import EdgeError

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
    with _errors_in_a_line():
        asyncio.run(_run(load_edge_config(config_path), exit_when_settled=exit_when_settled))


@edge.command(short_help="Check the settings without opening a bus.")
@config_option
def check(config_path: Path) -> None:
    """Check the settings, the databases and the token file, and say what would be read. Opens no bus."""
    _set_up_logging()
    with _errors_in_a_line():
        config = load_edge_config(config_path)
        plan = plan_agent(config)
        read_token(config)
        for bus, settings in zip(plan.buses, config.can, strict=True):
            files = ", ".join(path.name for path in settings.dbc)
            click.echo(f"{bus.source.name}: {settings.interface}, {len(bus.signal_names):,} signals in {files}")
        if config.gps is not None:
            click.echo(f"gps: {config.gps.device or 'from signals'}")
        click.echo(f"{config.vehicle} → {config.uplink.url}, spool {config.spool.path}")


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
    with _errors_in_a_line():
        done = asyncio.run(enrol(code, url=url, config=config_path))
    click.echo(f"this is '{done.vehicle}'; its token is in {done.token_file}")
    if done.config_changed:
        click.echo(f"{config_path} was completed")
    click.echo(f"next: fleetwire edge check --config {config_path}")


async def _run(config: EdgeConfig, *, exit_when_settled: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_agent(config, stop, exit_when_settled=exit_when_settled)


@contextmanager
def _errors_in_a_line() -> Iterator[None]:
    """What a person can act on becomes a line; anything else stays a traceback."""
    try:
        yield
    except EdgeError as error:
        raise click.ClickException(str(error)) from error
    except ExceptionGroup as group:
        expected, unexpected = group.split(EdgeError)
        if expected is None or unexpected is not None:
            raise
        raise click.ClickException(str(_first(expected))) from group


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


def _set_up_logging() -> None:
    """Events as key=value on stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
