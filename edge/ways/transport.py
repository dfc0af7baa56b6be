"""How a request reaches the cloud and what comes back: all that the uplink knows of HTTP or MQTT."""

from dataclasses import dataclass, field
from typing import Final, Protocol

from pydantic import ValidationError

from wire.envelope import Reply

REQUEST_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: an HTTP status and its body, or, with status 0, why nothing did."""

    status: int = 0
    body: bytes = b""
    retry_after_s: float = 0.0
    problem: str = ""
    is_sent: bool = True
    """False where the request certainly never left."""
    took_s: float | None = field(default=None, compare=False)
    """How long it took over the way that it came, where others were tried for the same request; None if not told."""


class Transport(Protocol):
    """One vehicle's way to its cloud. What goes wrong is an answer, and nothing is tried twice."""

    async def send(self, body: bytes, *, timeout_s: float | None = None) -> Answer:
        """Send an envelope, zstd, and wait for what the cloud says to it; None is the usual time."""
        ...

    async def send_catalog(self, name: str, body: bytes) -> Answer:
        """Send a catalog that the cloud asked for."""
        ...


class CampaignSource(Protocol):
    """Where the vehicle's campaign comes from."""

    async def fetch_campaign(self) -> Answer:
        """Ask for the campaign that this vehicle is meant to go by; its JSON is the answer's body."""
        ...


class AgentTransport(Transport, CampaignSource, Protocol):
    """All that an agent's connection carries."""


def read_reply(body: bytes) -> Reply | None:
    """None for what is no reply: a captive portal answers 200 to everything."""
    try:
        return Reply.model_validate_json(body)
    except ValidationError:
        return None
