"""What the uplink relies on, held by HTTP and by MQTT over a real Mosquitto alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cloud.access.mosquitto_password import with_user
from cloud.ingest.bridge import Said
from cloud.ingest.mqtt import Broker as BridgeBroker
from cloud.ingest.mqtt import MqttListener
from cloud.running.local_broker import reload_embedded
from cloud.services.mosquitto import password_file
from edge.errors import UplinkError
from edge.ways.transport import AgentTransport
from edge.ways.uplink_http import HttpTransport
from edge.ways.uplink_mqtt import Broker, MqttTransport
from tests.private_services import PrivateServices
from tests.running import eventually

TOKEN = "fwd_good"
TIMEOUT_S = 3.0
WHAT = {"batches": "batch", "catalogs": "catalog", "campaign": "campaign"}
PROBLEM = '{"status": %d, "title": "…", "detail": "%s", "retry_after": 7}'


@dataclass
class FarEnd:
    """What the cloud is told to say, and what it heard. Status 0 is silence."""

    status: int = 200
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def hear(self, what: str, body: bytes) -> bytes | None:
        self.heard.append((what, body))
        if not self.status:
            return None
        return b'{"accepted":[]}' if self.status == 200 else (PROBLEM % (self.status, "so it is")).encode()


@dataclass
class Subject:
    far: FarEnd
    open: Callable[[Callable[[], str]], Awaitable[AgentTransport]]

    async def transport(self, token: str = TOKEN) -> AgentTransport:
        return await self.open(lambda: token)


@pytest.fixture(params=["http", pytest.param("mqtt", marks=pytest.mark.services)])
async def subject(request: pytest.FixtureRequest, private_services: PrivateServices) -> AsyncIterator[Subject]:
    far = FarEnd()
    async with AsyncExitStack() as stack:
        if request.param == "http":
            yield Subject(far, await stack.enter_async_context(over_http(far)))
        else:
            yield Subject(far, await stack.enter_async_context(over_mqtt(far, private_services)))


@asynccontextmanager
async def over_http(far: FarEnd) -> AsyncIterator[Callable[[Callable[[], str]], Awaitable[AgentTransport]]]:
    async def serve(request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bearer {TOKEN}":
            return web.Response(status=401)
        body = far.hear(WHAT[request.path.split("/")[2]], await request.read())
        if body is None:
            await asyncio.sleep(TIMEOUT_S * 2)
            return web.Response(status=500)
        return web.Response(status=far.status, body=body, headers={"Retry-After": "7"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    async with AsyncExitStack() as stack:
        server = TestServer(app)
        await server.start_server(auto_decompress=False)
        stack.push_async_callback(server.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def open_transport(token: Callable[[], str]) -> AgentTransport:
            return HttpTransport(session, url=str(server.make_url("")), token=token, timeout_s=TIMEOUT_S)

        yield open_transport


@asynccontextmanager
async def over_mqtt(
    far: FarEnd, services: PrivateServices
) -> AsyncIterator[Callable[[Callable[[], str]], Awaitable[AgentTransport]]]:
    url = (await services.start("mosquitto")).running["mosquitto"].url
    parts = urlsplit(url)
    kept: Path = password_file(services.home / "services" / "mosquitto")
    kept.write_text(with_user(with_user("", str(parts.username), str(parts.password)), "v1", TOKEN))
    reload_embedded(services.home)

    async def answer(topic: str, payload: bytes) -> Said | None:
        body = far.hear(topic.rpartition("/")[2], payload)
        return None if body is None else Said("fleetwire/v1/reply", body)

    listener = MqttListener(BridgeBroker.at(url, None), answer)
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        tasks.create_task(listener.run("bridge"))
        stack.callback(listener.stop)
        await eventually(lambda: listening(listener))

        async def open_transport(token: Callable[[], str]) -> AgentTransport:
            broker = Broker("127.0.0.1", parts.port or 0)
            transport = MqttTransport(broker, vehicle="v1", token=token, timeout_s=TIMEOUT_S)
            return await stack.enter_async_context(transport)

        yield open_transport


async def listening(listener: MqttListener) -> bool:
    return listener.is_connected


async def test_request_arrives_as_it_was_sent_and_its_reply_comes_back(subject: Subject) -> None:
    transport = await subject.transport()
    answer = await transport.send(b"\x28\xb5\x2f\xfd first")
    assert (answer.status, answer.body) == (200, b'{"accepted":[]}')
    assert (await transport.send(b"second")).status == 200
    assert subject.far.heard == [("batch", b"\x28\xb5\x2f\xfd first"), ("batch", b"second")]


async def test_catalog_arrives(subject: Subject) -> None:
    transport = await subject.transport()
    assert 200 <= (await transport.send_catalog("ab" * 32, b'{"signals":[]}')).status < 300
    assert subject.far.heard == [("catalog", b'{"signals":[]}')]


async def test_campaign_is_asked_for_and_comes(subject: Subject) -> None:
    answer = await (await subject.transport()).fetch_campaign()
    assert (answer.status, answer.body) == (200, b'{"accepted":[]}')
    assert subject.far.heard == [("campaign", b"")]


@pytest.mark.parametrize("status", [400, 403, 413, 429, 503])
async def test_refusal_has_its_status_and_its_time(subject: Subject, status: int) -> None:
    subject.far.status = status
    answer = await (await subject.transport()).send(b"x")
    assert (answer.status, answer.retry_after_s) == (status, 7.0)
    assert "so it is" in answer.problem + answer.body.decode()


async def test_wrong_token_is_401(subject: Subject) -> None:
    transport = await subject.transport("fwd_wrong")
    assert [(await transport.send(b"x")).status for _ in range(2)] == [401, 401]
    assert subject.far.heard == []


async def test_token_that_cannot_be_read_is_401_in_its_own_words(subject: Subject) -> None:
    def no_token() -> str:
        raise UplinkError("token: is empty")

    answer = await (await subject.open(no_token)).send(b"x")
    assert (answer.status, answer.problem) == (401, "token: is empty")


async def test_new_token_is_used_without_a_restart(subject: Subject) -> None:
    tokens = iter(["fwd_wrong", TOKEN, TOKEN])
    transport = await subject.open(lambda: next(tokens))
    assert [(await transport.send(b"x")).status for _ in range(3)] == [401, 200, 200]


async def test_silence_is_an_answer_too_and_the_next_request_goes_through(subject: Subject) -> None:
    transport = await subject.transport()
    subject.far.status = 0
    answer = await transport.send(b"x")
    assert (answer.status, bool(answer.problem)) == (0, True)
    subject.far.status = 200
    assert (await transport.send(b"y")).status == 200


async def test_request_that_was_given_up_leaves_no_trace(subject: Subject) -> None:
    transport = await subject.transport()
    await transport.send(b"x")
    subject.far.status = 0
    sending = asyncio.create_task(transport.send(b"given up"))
    await eventually(lambda: has_heard(subject.far, b"given up"))
    sending.cancel()
    await asyncio.wait([sending])
    subject.far.status = 200
    assert (await transport.send(b"y")).status == 200


async def test_cloud_that_is_not_there_is_an_answer(unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        http = HttpTransport(session, url=f"http://127.0.0.1:{unused_tcp_port}", token=lambda: TOKEN)
        async with MqttTransport(Broker("127.0.0.1", unused_tcp_port), vehicle="v1", token=lambda: TOKEN) as mqtt:
            for transport in (http, mqtt):
                answer = await transport.send(b"x")
                assert (answer.status, answer.body) == (0, b"")
                assert "onnect" in answer.problem


async def has_heard(far: FarEnd, body: bytes) -> bool:
    return any(heard == body for _, heard in far.heard)
