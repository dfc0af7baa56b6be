"""What enrolling writes, and what it leaves alone when it is refused."""

import json
import stat
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from edge.errors import ConfigError, UplinkError
from edge.service.enrol import complete, enrol

URL = "https://ingest.example:8081"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a comment\n\n[[can]]\nchannel = 'can0'\n",
        "[uplink]\n",
        "[uplink]",
        "[uplink] # where to\ntoken_file = 'secret/token'\n\n[spool]\npath = 'x'\n",
        f"vehicle = 'truck-1'\nuplink = {{ url = '{URL}', token_file = 'token' }}\n",
        "# settings\n# vehicle = \"truck-0001\"    # given by enrolment\n\n[gps]\ndevice = '/dev/ttyS0'\n",
    ],
)
def test_file_is_completed_and_keeps_what_it_says(text: str) -> None:
    before = tomllib.loads(text)
    made = complete(text, vehicle="truck-1", url=URL)
    after = tomllib.loads(made)
    assert after["vehicle"] == "truck-1"
    assert after["uplink"] == {"url": URL, "token_file": "token"} | before.get("uplink", {})
    assert {key: after[key] for key in before if key != "uplink"} == {k: v for k, v in before.items() if k != "uplink"}
    assert [line for line in text.splitlines() if line.startswith("#") and "vehicle" not in line] == [
        line for line in made.splitlines() if line.startswith("#")
    ]
    assert complete(made, vehicle="other", url="http://other") == made


class Cloud:
    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answer: tuple[int, Any] = (200, {"vehicle": "truck-1", "token": "fwd_abcdefgh"})

    async def enroll(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        status, body = self.answer
        return web.Response(status=status, text=json.dumps(body))


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
async def address(cloud: Cloud) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/enroll", cloud.enroll)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_token_is_for_its_owner_alone(cloud: Cloud, address: str, tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text("[[can]]\nchannel = 'can0'\n")
    config.chmod(0o640)
    done = await enrol("CODE", url=address + "/", config=config)
    assert (done.vehicle, done.token_file, done.config_changed) == ("truck-1", tmp_path / "token", True)
    assert done.token_file.read_text() == "fwd_abcdefgh\n"
    assert stat.S_IMODE(done.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert tomllib.loads(config.read_text())["uplink"]["url"] == address
    assert cloud.asked == [{"code": "CODE"}]
    again = await enrol("CODE2", url=None, config=config)
    assert not again.config_changed
    assert cloud.asked[1] == {"code": "CODE2", "vehicle": "truck-1"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((410, {"detail": "this code has been used"}), "this code has been used"),
        ((200, {"hello": "portal"}), "not the answer of an ingest server"),
        ((200, {"vehicle": 'x"\n', "token": "fwd_abcdefgh"}), "not the answer"),
    ],
)
async def test_refusal_changes_nothing(
    cloud: Cloud, address: str, tmp_path: Path, answer: tuple[int, Any], message: str
) -> None:
    cloud.answer = answer
    config = tmp_path / "edge.toml"
    config.write_text("[[can]]\n")
    with pytest.raises(UplinkError, match=message):
        await enrol("CODE", url=address, config=config)
    assert [path.name for path in tmp_path.iterdir()] == ["edge.toml"]
    assert config.read_text() == "[[can]]\n"


@pytest.mark.parametrize(
    ("text", "url", "message"),
    [
        ("vehicle = \n", URL, "not TOML"),
        ("", None, "--url"),
        ("", "mqtts://broker:8883", "not an address to enrol at"),
        ("[uplink]\nurl = 'mqtts://broker'\n", None, "not an address to enrol at"),
        ("uplink.url = 'http://x'\n", URL, "not TOML"),
        ("uplink = 5\n", URL, r"\[uplink\] is a section"),
        ("[uplink]\ntoken_file = 5\n", URL, "are texts"),
        ("[uplink]\nca_file = 'no.pem'\n", URL, "no.pem: No such file"),
        ("[uplink]\nca_file = 'edge.toml'\n", URL, "is to hold PEM certificates"),
    ],
)
async def test_code_is_not_used_for_a_file_that_cannot_be_completed(
    text: str, url: str | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "edge.toml").write_text(text)
    with pytest.raises((ConfigError, UplinkError), match=message):
        await enrol("CODE", url=url, config=tmp_path / "edge.toml")


async def test_folder_that_cannot_be_written_is_said_before_the_code_is_used(
    cloud: Cloud, address: str, tmp_path: Path
) -> None:
    (tmp_path / "edge.toml").write_text("[uplink]\ntoken_file = 'no/such/token'\n")
    with pytest.raises(ConfigError, match="No such file"):
        await enrol("CODE", url=address, config=tmp_path / "edge.toml")
    assert cloud.asked == []
