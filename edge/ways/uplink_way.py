"""HTTP or MQTT, and over which interface: the uplinks that the settings name, opened."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from edge.agent_plan import read_token_file
from edge.config import EdgeConfig, WaySettings
from edge.ways.tls import tls_context
from edge.ways.transport import AgentTransport
from edge.ways.uplink_http import HttpTransport
from edge.ways.uplink_ways import Way, Ways

SYS_NET = Path("/sys/class/net")


@asynccontextmanager
async def open_ways(config: EdgeConfig) -> AsyncIterator[Ways]:
    """Every way of [uplink], in its order. Raises UplinkError for certificates that cannot be used."""
    async with AsyncExitStack() as opened:
        ways = [
            Way(
                name=way.name or "",
                url=way.url,
                transport=await opened.enter_async_context(open_transport(way, vehicle=config.vehicle)),
                quota_bytes=way.monthly_bytes,
                is_up=_watch(way.interface),
            )
            for way in config.uplink.ways()
        ]
        yield Ways(ways)


@asynccontextmanager
async def open_transport(way: WaySettings, *, vehicle: str) -> AsyncIterator[AgentTransport]:
    """The transport that `url` names. Raises UplinkError for certificates that cannot be used."""
    url, tls = way.url, tls_context(way)

    def token() -> str:
        return read_token_file(way.token_file)

    if way.is_mqtt:
        from edge.ways.uplink_mqtt import Broker, MqttTransport  # paho only where it is used

        async with MqttTransport(Broker.at(url, tls), vehicle=vehicle, token=token) as transport:
            yield transport
    else:
        async with aiohttp.ClientSession() as session:
            yield HttpTransport(session, url=url, token=token, tls=tls)


def is_interface_up(name: str, *, net: Path = SYS_NET) -> bool:
    """Whether the kernel has a line on it; what does not say (a modem's tunnel) counts as up while it is there."""
    try:
        return (net / name / "operstate").read_text(encoding="ascii").strip() in ("up", "unknown")
    except OSError:
        return False


def _watch(interface: str | None) -> Callable[[], bool]:
    return lambda: interface is None or is_interface_up(interface)
