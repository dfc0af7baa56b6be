"""fleetwire edge prove: it proves what is so, and fails when something is really lost, doubled or wrong."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge.config import EdgeConfig, load_edge_config
from edge.recordings.drive_frames import OWN_DATABASES
from fleetwire.edge_prove import prove as command
from fleetwire.edge_prove import replayed
from simulator.drive_maker import drive_text, make_drive
from simulator.proof.prove import Finding, Proof, ProofError, prove
from simulator.proof.receiver import Receiver
from simulator.proof.small_disk import NoSmallDiskError, fill, small_disk
from wire.model import Batch

Quiet = Callable[[Receiver], Awaitable[Finding]]

SETTINGS = f"""
vehicle = "truck-1"
[[can]]
interface = "socketcan"
channel = "can0"
dbc = ["{OWN_DATABASES / "fleetwire.dbc"}"]
[batch]
max_age_ms = 200
[uplink]
url = "https://ingest.example:8081"
token_file = "token"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    begin = datetime(2025, 6, 2, 6, tzinfo=UTC)
    document = make_drive(route="helsinki-airport", seed=3, minutes=1, start=begin, vehicle="van-1")
    path = tmp_path_factory.mktemp("drive") / "drive.json"
    path.write_text(drive_text(document))
    return path


@pytest.fixture
def quiet_proof(settings: Path, drive: Path, tmp_path: Path) -> Quiet:
    config = replayed(load_edge_config(settings), [str(drive)], tmp_path)

    async def run(receiver: Receiver) -> Finding:
        return await prove(Proof(config, seconds=1.0, seed=1, kinds=()), say=lambda _: None, receiver=receiver)

    return run


def test_command_proves_it_under_every_kind_of_fault(settings: Path, drive: Path) -> None:
    arguments = ["--config", str(settings), "--replay", f"can0={drive}", "--seconds", "8", "--seed", "29", "--json"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    account = json.loads(result.stdout)
    assert account["problems"] == []
    assert account["proven"]
    assert result.exit_code == 0
    assert (account["lost"], account["duplicated"]) == (0, 0)
    assert account["played"] == account["taken"] > 1_000
    assert account["seen"] == account["kept"] + sum(account["filtered"].values()) + sum(account["dropped"].values())
    assert account["kept"] > 0
    tried = {"kill", "link", "clock", "disk", "queue"} - account["left_out"].keys()
    assert account["faults"].keys() == tried
    assert account["lives"] == 1 + account["faults"]["kill"]


async def test_without_faults_all_that_was_kept_arrives(quiet_proof: Quiet) -> None:
    finding = await quiet_proof(Receiver())
    assert finding.account.is_proven
    assert finding.account.dropped == {}
    assert finding.account.lives == 1


class _Forgetful(Receiver):
    """Settles its second batch without keeping it."""

    forgot = False

    def store(self, batch: Batch) -> None:
        if batch.seq == 1:
            self.forgot = True
        else:
            super().store(batch)


class _Doubling(Receiver):
    """Keeps its second batch under two numbers."""

    def store(self, batch: Batch) -> None:
        super().store(batch)
        if batch.seq == 1:
            super().store(batch.model_copy(update={"seq": 1_000_000}))


async def test_receiver_that_drops_a_batch_is_found_out(quiet_proof: Quiet) -> None:
    receiver = _Forgetful()
    finding = await quiet_proof(receiver)
    assert receiver.forgot
    assert finding.account.lost == 1
    assert not finding.account.is_proven


async def test_receiver_that_keeps_a_batch_twice_is_found_out(quiet_proof: Quiet) -> None:
    finding = await quiet_proof(_Doubling())
    assert finding.account.duplicated == 1
    assert not finding.account.is_proven


async def test_agent_that_ends_by_itself_is_no_proof(settings: Path, drive: Path, tmp_path: Path) -> None:
    config = replayed(load_edge_config(settings), [str(drive)], tmp_path)
    broken = config.can[0].model_copy(update={"dbc": (tmp_path / "missing.dbc",)})
    proof = Proof(config.model_copy(update={"can": (broken,)}), seconds=1.0, seed=1, kinds=())
    with pytest.raises(ProofError, match=r"missing\.dbc"):
        await prove(proof, say=lambda _: None)


def test_recording_goes_to_the_bus_that_is_named(settings: Path, drive: Path, tmp_path: Path) -> None:
    config = load_edge_config(settings)
    assert _channels(replayed(config, [f"can0={drive}"], tmp_path)) == [(str(drive),)]
    assert _channels(replayed(config, [str(drive), str(drive)], tmp_path)) == [(str(drive), str(drive))]
    with pytest.raises(click.UsageError, match="no bus 'can7' in the settings; there are: can0"):
        replayed(config, [f"can7={drive}"], tmp_path)
    with pytest.raises(click.UsageError, match="no file"):
        replayed(config, [str(tmp_path / "missing.log")], tmp_path)


def test_settings_without_a_recording_play_a_generated_drive(settings: Path, tmp_path: Path) -> None:
    config = replayed(load_edge_config(settings), [], tmp_path)
    assert _channels(config) == [(str(tmp_path / "drive.json"),)]
    assert config.gps is not None


async def test_small_disk_fills_to_the_last_byte_and_is_gone(tmp_path: Path) -> None:
    try:
        async with small_disk(tmp_path, 1_000_000) as disk:
            assert disk.from_outside is not None
            fill(disk.from_outside / "filler")
            with pytest.raises(OSError, match="No space left"):
                (disk.from_outside / "more").write_bytes(b"x" * 5_000)
            assert not list(tmp_path.iterdir())
    except NoSmallDiskError as missing:
        pytest.skip(str(missing))


def _channels(config: EdgeConfig) -> list[object]:
    return [bus.channel for bus in config.can]
