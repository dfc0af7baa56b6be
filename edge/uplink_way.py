"""HTTP or MQTT: the uplink's one line that says which."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from edge.agent_plan import read_token
from edge.config import EdgeConfig
from edge.tls import tls_context
from edge.transport import AgentTransport
from edge.uplink_http import HttpTransport


@asynccontextmanager
async def open_transport(config: EdgeConfig) -> AsyncIterator[AgentTransport]:
    """The transport that `url` in [uplink] names. Raises UplinkError for certificates that cannot be used."""
    url, tls = config.uplink.url, tls_context(config.uplink)

    def token() -> str:
        return read_token(config)

    if config.uplink.is_mqtt:
        from edge.uplink_mqtt import Broker, MqttTransport  # paho only where it is used

        async with MqttTransport(Broker.at(url, tls), vehicle=config.vehicle, token=token) as transport:
            yield transport
    else:
        async with aiohttp.ClientSession() as session:
            yield HttpTransport(session, url=url, token=token, tls=tls)
