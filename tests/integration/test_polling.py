"""The agent asks: simulated controllers on a virtual bus, their answers in the cloud."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import can
import pytest

from edge.agent_plan import plan_agent
from edge.buses.open_bus import open_bus
from edge.can_reader import CanReader
from edge.config import load_edge_config
from edge.errors import EdgeError
from edge.frame import Frame
from edge.frame_source import ReaderError
from edge.protocols.transmit_rules import NotAllowedError, TransmitError, TransmitRules
from tests.fake_cloud import TOKEN, FakeCloud, serve
from tests.running_agent import running_agent
from tests.simulated_ecu import Ecu, Vehicle, supported

PATIENCE_S = 60
VIN = b"WVWZZZ1JZXW000001"
CONFIG = """
vehicle = "v1"
[[can]]
interface = "virtual"
channel = "{channel}"
listen_only = false
[can.poll]
pids = {{ EngineSpeed = 0.1, FuelLevel = 0.1 }}
trouble_codes_s = 0.5
uds = true
max_per_s = 50
[sampling]
every = true
[batch]
max_age_ms = 50
[uplink]
url = "{url}"
token_file = "token"
"""


def engine() -> Ecu:
    return Ecu(
        0x7E8,
        {
            "0100": supported(0x0C, 0x20),
            "0120": supported(0x2F, first=0x20),
            "010c": bytes.fromhex("410c0fa0"),
            "012f": [bytes.fromhex("7f0178"), bytes.fromhex("412f80")],
            "0902": bytes.fromhex("490201") + VIN,
            "03": bytes.fromhex("4303012301240125"),
            "07": bytes.fromhex("4700"),
            "0a": bytes.fromhex("4a00"),
            "19020d": bytes.fromhex("5902ff0123450802345608"),
        },
    )


def gearbox() -> Ecu:
    return Ecu(0x7E9, {"0100": supported(0x0C), "010c": bytes.fromhex("410c0fa4"), "03": bytes.fromhex("4300")})


@asynccontextmanager
async def agent(folder: Path, channel: str, url: str) -> AsyncIterator[None]:
    """The agent, which stops in order at the end of the block."""
    (folder / "token").write_text(TOKEN)
    (folder / "edge.toml").write_text(CONFIG.format(channel=channel, url=url))
    async with running_agent(load_edge_config(folder / "edge.toml")):
        yield


def signals(cloud: FakeCloud) -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for batch in cloud.batches.values():
        for name, column in batch.signals.items():
            found.setdefault(name, set()).update(column.v)
    return found


def events(cloud: FakeCloud) -> set[tuple[str, str, str]]:
    return {
        (event.kind, str(event.data.get("code", event.data.get("vin"))), str(event.data.get("status")))
        for batch in cloud.batches.values()
        for event in batch.events
    }


async def test_what_controllers_answer_reaches_the_cloud(tmp_path: Path) -> None:
    cloud, first, second = FakeCloud(), engine(), gearbox()
    expected = {
        ("vin", VIN.decode(), "None"),
        *(("dtc_set", code, "stored") for code in ("P0123", "P0124", "P0125")),
        *(("dtc_set", code, "confirmed") for code in ("P0123-45", "P0234-56")),
    }
    async with serve(cloud) as url:
        with Vehicle("poll-all", first, second) as vehicle:
            async with agent(tmp_path, "poll-all", url):
                await cloud.until(
                    lambda: (
                        expected <= events(cloud)
                        and {"OBD.EngineSpeed", "OBD.FuelLevel", "OBD.EngineSpeed@7E9"} <= signals(cloud).keys()
                    )
                )
                first.answers["03"] = bytes.fromhex("43020123 0125")
                await cloud.until(lambda: ("dtc_cleared", "P0124", "stored") in events(cloud))
    assert signals(cloud)["OBD.EngineSpeed"] == {1000.0}
    assert signals(cloud)["OBD.EngineSpeed@7E9"] == {1001.0}
    assert signals(cloud)["OBD.FuelLevel"] == {0x80 * (100 / 255)}
    assert first.flow_controls >= 3, "VIN, three codes and UDS come in several frames"
    assert second.flow_controls == 0
    rules = TransmitRules(most_per_s=10**6)
    for message in vehicle.sent:
        if message.arbitration_id < 0x7E8:
            rules.admit(Frame(None, "", message.arbitration_id, message.is_extended_id, bytes(message.data)), 0.0)


async def test_bus_that_takes_nothing_is_told_and_asked_again_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, is_off = FakeCloud(), True
    send = can.interfaces.virtual.VirtualBus.send

    def maybe_send(bus: can.BusABC, message: can.Message, timeout: float | None = None) -> None:
        if is_off and message.arbitration_id == 0x7DF:
            refused.set()
            raise can.CanOperationError("bus off")
        send(bus, message, timeout)

    loop, refused_async = asyncio.get_running_loop(), asyncio.Event()

    class Refused:
        def set(self) -> None:
            loop.call_soon_threadsafe(refused_async.set)

    refused = Refused()
    monkeypatch.setattr(can.interfaces.virtual.VirtualBus, "send", maybe_send)
    async with serve(cloud) as url:
        with Vehicle("poll-off", engine()), can.Bus("poll-off", "virtual") as other:
            async with agent(tmp_path, "poll-off", url):
                await refused_async.wait()
                is_off = False
                while "OBD.EngineSpeed" not in signals(cloud):  # traffic after a silence brings the next probe at once
                    other.send(can.Message(arbitration_id=0x100, data=b"\1"))
                    await asyncio.sleep(1)


async def test_nothing_leaves_a_reader_without_rules_nor_beyond_them() -> None:
    asks = Frame(None, "", 0x7DF, False, bytes.fromhex("02010ccccccccccc"))
    clears = asks._replace(data=bytes.fromhex("0104cccccccccccc"))
    with can.Bus("poll-rules", "virtual") as bus:
        async with CanReader("virtual", "poll-rules") as reader:
            with pytest.raises(NotAllowedError, match="only listened to"):
                await reader.send(asks)
        async with CanReader("virtual", "poll-rules", listen_only=False, rules=TransmitRules(most_per_s=5)) as reader:
            with pytest.raises(NotAllowedError):
                await reader.send(clears)
            await reader.send(asks)
        with pytest.raises(TransmitError, match="away"):
            reader._send(asks)
        message = bus.recv(5)
        assert message is not None
        assert bytes(message.data) == asks.data
        assert bus.recv(0) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("listen_only = false", ""), "listen_only = false too"),
        (('interface = "virtual"', 'interface = "replay"'), "a recording cannot be asked"),
        (("EngineSpeed", "EnginSpeed"), "did you mean 'EngineSpeed'"),
        (("uds = true", 'protocols = ["j1939"]'), "unknown key"),
        (("= 0.1,", "= 0,"), "every 0.02 s at most"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG.format(channel="x", url="http://127.0.0.1:1").replace(*change))
    with pytest.raises(EdgeError, match=problem):
        load_edge_config(path)


def test_bus_that_only_listens_is_never_opened_for_asking(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(CONFIG.format(channel="x", url="http://127.0.0.1:1"))
    plan = plan_agent(load_edge_config(path))
    assert plan.buses[0].poll is not None
    settings = plan.config.can[0].model_copy(update={"listen_only": True})
    with pytest.raises(ReaderError, match="say listen_only = false, or leave out poll"):
        open_bus(settings, rules=TransmitRules(most_per_s=1))
