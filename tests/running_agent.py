"""An agent in the test's own loop: its folder, its life, and what it says of itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from edge.agent import run_agent
from edge.clock.clock_watch import Clock
from edge.config import EdgeConfig, load_edge_config
from edge.service.service_manager import NO_MANAGER, ServiceManager
from edge.service.status import AgentStatus
from edge.service.status_socket import StatusError, ask_status
from tests.fake_cloud import TOKEN
from tests.running import eventually

PATIENCE_S = 120
DBC = """
VERSION ""
NS_ :
BS_:
BU_: ECU
BO_ 256 Engine: 8 ECU
 SG_ Count : 0|32@1+ (1,0) [0|0] "" Vector__XXX
"""
REPLAY = 'interface = "replay"\nchannel = "drive.log"'
CONFIG = """
vehicle = "{vehicle}"
[[can]]
{bus}
dbc = ["vehicle.dbc"]
[sampling]
every = true
[batch]
max_age_ms = 50
max_samples = 200
[uplink]
url = "{url}"
token_file = "token"
{more}
"""


def virtual(channel: str) -> str:
    """A bus for `write_vehicle` that the test sends on."""
    return f'interface = "virtual"\nchannel = "{channel}"'


def write_vehicle(
    folder: Path,
    url: str,
    *,
    bus: str = REPLAY,
    vehicle: str = "v1",
    token: str = TOKEN,
    dbc: str = DBC,
    more: str = "",
) -> Path:
    """The settings, beside all that they name but a recording. Every sample is kept; `more` goes on with [uplink]."""
    (folder / "vehicle.dbc").write_text(dbc)
    (folder / "token").write_text(token)
    path = folder / "edge.toml"
    path.write_text(CONFIG.format(url=url, bus=bus, vehicle=vehicle, more=more))
    return path


@asynccontextmanager
async def running_agent(
    config: EdgeConfig, *, manager: ServiceManager = NO_MANAGER, clock: Clock | None = None
) -> AsyncIterator[None]:
    """It stops in order at the end of the block."""
    stop = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(run_agent(config, stop, manager=manager, clock=clock), name="agent")
        try:
            yield
        finally:
            stop.set()


async def run_to_the_end(path: Path) -> None:
    """Until its recordings are played and the cloud has settled everything."""
    async with asyncio.timeout(PATIENCE_S):
        await run_agent(load_edge_config(path), asyncio.Event(), exit_when_settled=True)


async def until_status(config: EdgeConfig, condition: Callable[[AgentStatus], object]) -> AgentStatus:
    """What it says of itself, as soon as that is so; until it is there, it says nothing."""

    async def look() -> AgentStatus | None:
        try:
            status = await ask_status(config.spool.path)
        except StatusError:
            return None
        return status if condition(status) else None

    found: AgentStatus = await eventually(look)
    return found
