"""MQTT with TLS: whom the agent trusts, and a broker that knows vehicles by their certificates."""

import gc
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloud.services.processes import end
from cloud.services.root import cache_folder, ensure_sandbox
from edge.config import UplinkSettings
from edge.errors import UplinkError
from edge.ways.tls import tls_context
from edge.ways.transport import Answer
from edge.ways.uplink_mqtt import Broker, MqttTransport
from tests.running import eventually

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates"),
    # Paho leaves a socket whose handshake failed to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SETTINGS = """
listener {port} 127.0.0.1
cafile /data/ca.pem
certfile /data/broker.pem
keyfile /data/broker.key
require_certificate true
use_identity_as_username true
acl_file /data/acl
log_dest stderr
"""


@dataclass
class TlsBroker:
    """A Mosquitto that asks for certificates of the authority in `folder`."""

    folder: Path
    port: int

    async def send(self, **files: Path) -> Answer:
        url = f"mqtts://localhost:{self.port}"
        settings = UplinkSettings(url=url, token_file=Path("token"), **files)
        broker = Broker.at(url, tls_context(settings))
        async with MqttTransport(broker, vehicle="truck-1", token=lambda: "fwd_none", timeout_s=20) as transport:
            return await transport.send(b"{}")


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[TlsBroker]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    make_authority(tmp_path)
    make_certificate(tmp_path, "broker", "localhost")
    make_certificate(tmp_path, "truck", "truck-1")
    make_authority(other := tmp_path / "other")
    make_certificate(other, "truck", "truck-1")
    (tmp_path / "acl").write_text("pattern write fleetwire/%u/batch\npattern read fleetwire/%u/reply\n")
    (tmp_path / "mosquitto.conf").write_text(SETTINGS.format(port=port))
    sandbox = await ensure_sandbox(cache_folder(os.environ), lambda _: None)
    process = sandbox.spawn(
        ["/usr/sbin/mosquitto", "-c", "/data/mosquitto.conf"], data=tmp_path, log=tmp_path / "mosquitto.log"
    )
    await eventually(lambda: is_listening(port))
    yield TlsBroker(tmp_path, port)
    await end(process, with_signal=signal.SIGTERM, patience_s=10)
    gc.collect()  # here, where its warning is expected, and not in whatever test comes later


async def test_vehicle_with_a_certificate_is_let_in(broker: TlsBroker) -> None:
    folder = broker.folder
    answer = await broker.send(ca_file=folder / "ca.pem", cert_file=folder / "truck.pem", key_file=folder / "truck.key")
    assert answer.problem == "no ingest is connected to the broker"


async def test_broker_of_an_unknown_authority_is_not_trusted(broker: TlsBroker) -> None:
    answer = await broker.send()
    assert (answer.status, "certificate verify failed" in answer.problem) == (0, True)


async def test_vehicle_without_a_good_certificate_stays_outside(broker: TlsBroker) -> None:
    folder = broker.folder
    without = await broker.send(ca_file=folder / "ca.pem")
    foreign = await broker.send(
        ca_file=folder / "ca.pem", cert_file=folder / "other" / "truck.pem", key_file=folder / "other" / "truck.key"
    )
    for answer in (without, foreign):
        assert answer.status in {0, 401}
        assert answer.problem not in {"", "no ingest is connected to the broker"}


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    usual = {"url": "mqtts://broker", "token_file": tmp_path / "token"}
    with pytest.raises(UplinkError, match=r"ca\.pem: No such file"):
        tls_context(UplinkSettings(ca_file=tmp_path / "ca.pem", **usual))
    (tmp_path / "me.pem").write_text("nothing")
    with pytest.raises(UplinkError, match=r"me\.pem: .*both PEM"):
        tls_context(UplinkSettings(cert_file=tmp_path / "me.pem", **usual))


def make_authority(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority")


def make_certificate(folder: Path, name: str, subject: str) -> None:
    openssl(folder, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={subject}")
    (folder / "names").write_text(f"subjectAltName=DNS:{subject}\n")
    signed = f"-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
    openssl(folder, f"x509 -req -in {name}.csr {signed}")


def openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


async def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
