"""Ingest's routes. Every refusal is problem+json that says what to do."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import hdrs, web

from cloud.ingest.batch_connections import Answer
from cloud.ingest.body import Body, content_encoding, read_body, unpack_aside, unpack_at_once
from cloud.ingest.devices import Devices
from cloud.ingest.enrolment import MOST_BYTES, Enrolment
from cloud.ingest.http_head import BATCHES, Head
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.requests import in_thread
from cloud.ingest.service import Ingest
from cloud.ingest.thorough import read_json
from cloud.ingest.turns import Turns
from cloud.problem import Problem, problem_body, problem_fields, problem_response
from wire.campaign import campaign_etag

ANYWHERE: Final = "/{anywhere:.*}"

_JSON: Final = [(str(hdrs.CONTENT_TYPE), "application/json")]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class IngestApi:
    def __init__(
        self,
        ingest: Ingest,
        devices: Devices,
        enrolment: Enrolment,
        metrics: IngestMetrics,
        *,
        body_bytes: int,
        plain_bytes: int,
    ) -> None:
        self._ingest = ingest
        self._devices = devices
        self._enrolment = enrolment
        self._metrics = metrics
        self._body_bytes = body_bytes
        self._plain_bytes = plain_bytes
        self._turns = Turns()

    def make_app(self) -> web.Application:
        app = web.Application()
        routes: list[tuple[str, str, Handler]] = [
            (hdrs.METH_POST, BATCHES, self._post_batches),
            (hdrs.METH_PUT, "/v1/catalogs/{hash}", self._put_catalog),
            (hdrs.METH_GET, "/v1/campaign", self._get_campaign),
            (hdrs.METH_POST, "/v1/events", self._post_events),
            (hdrs.METH_POST, "/v1/enroll", self._post_enroll),
            (hdrs.METH_ANY, ANYWHERE, _nowhere),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, self._answering("none" if handler is _nowhere else path, handler))
        return app

    async def answer_batches(self, head: Head, body: bytes) -> Answer:
        """A request for batches outside of aiohttp; as `_post_batches`, problems and counting included."""
        began = time.perf_counter()
        try:
            device = await self._devices.identify(head.authorization)
            with self._turns.of(device.vehicle):
                coding = content_encoding((head.encoding,) if head.encoding else ())
                unpacked = await unpack_aside(body, coding, plain_limit=self._plain_bytes)
                answer = 200, _JSON, await self._ingest.take_batches(device, unpacked)
        except Problem as problem:
            answer = _problem(problem)
        self._metrics.answered(BATCHES, answer[0], time.perf_counter() - began)
        return answer

    def answer_soon(self, head: Head, body: bytes, tell: Callable[[Answer | None], None]) -> bool:
        """As `cloud.ingest.batch_connections.Soon`: what is plainly good, of a vehicle that is known."""
        began = time.perf_counter()
        device = self._devices.identify_at_once(head.authorization)
        if device is None or not self._turns.take(device.vehicle):
            return False
        turns, vehicle, metrics = self._turns, device.vehicle, self._metrics

        def told(said: bytes | Problem | None) -> None:
            turns.give_back(vehicle)
            answer = said if said is None else _problem(said) if isinstance(said, Problem) else (200, _JSON, said)
            if answer is not None:
                metrics.answered(BATCHES, answer[0], time.perf_counter() - began)
            tell(answer)

        is_taken = False
        try:
            unpacked = unpack_at_once(body, head.encoding, plain_limit=self._plain_bytes)
            is_taken = unpacked is not None and self._ingest.take_soon(device, unpacked, told)
        finally:
            if not is_taken:
                turns.give_back(vehicle)
        return is_taken

    async def _post_batches(self, request: web.Request) -> web.Response:
        device = await self._devices.identify(request.headers.get(hdrs.AUTHORIZATION))
        with self._turns.of(device.vehicle):
            reply = await self._ingest.take_batches(device, await self._body(request))
        return web.Response(body=reply, content_type="application/json")

    async def _put_catalog(self, request: web.Request) -> web.Response:
        device = await self._devices.identify(request.headers.get(hdrs.AUTHORIZATION))
        with self._turns.of(device.vehicle):
            await self._ingest.put_catalog(device, request.match_info["hash"], (await self._body(request)).plain)
        response = web.Response(status=204)
        response.force_close()  # what follows are batches again, which a connection of their own serves faster
        return response

    async def _get_campaign(self, request: web.Request) -> web.Response:
        device = await self._devices.identify(request.headers.get(hdrs.AUTHORIZATION))
        with self._turns.of(device.vehicle):
            body = await self._ingest.campaign(device)
        headers = {hdrs.ETAG: f'"{campaign_etag(body)}"', hdrs.CACHE_CONTROL: "no-store"}
        response = web.Response(body=body, content_type="application/json", headers=headers)
        response.force_close()
        return response

    async def _post_events(self, request: web.Request) -> web.Response:
        device = await self._devices.identify(request.headers.get(hdrs.AUTHORIZATION))
        with self._turns.of(device.vehicle):
            value = await in_thread(read_json, (await self._body(request)).plain)
            return web.json_response(await self._ingest.take_events(device, value))

    async def _post_enroll(self, request: web.Request) -> web.Response:
        value = read_json((await read_body(request, limit=MOST_BYTES, plain_limit=MOST_BYTES)).plain)
        return web.json_response(
            await self._enrolment.enroll(value, request.remote or ""), headers={hdrs.CACHE_CONTROL: "no-store"}
        )

    async def _body(self, request: web.Request) -> Body:
        return await read_body(request, limit=self._body_bytes, plain_limit=self._plain_bytes)

    def _answering(self, route: str, handler: Handler) -> Handler:
        """`handler` with problems answered and all counted. A middleware would cost each request several calls more."""

        async def answer(request: web.Request) -> web.StreamResponse:
            began = time.perf_counter()
            try:
                response = await handler(request)
            except Problem as problem:
                response = problem_response(problem)
            self._metrics.answered(route, response.status, time.perf_counter() - began)
            return response

        return answer


def _problem(problem: Problem) -> Answer:
    return problem.status, problem_fields(problem), problem_body(problem)


async def _nowhere(request: web.Request) -> web.Response:
    """Raises Problem 404 or 405."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource is not request.match_info.route.resource:
            allowed |= (await resource.resolve(request))[1]
    if allowed:
        headers = {str(hdrs.ALLOW): ",".join(sorted(allowed))}
        raise Problem(405, f"{request.path} does not take {request.method}", headers=headers)
    raise Problem(404, f"there is nothing at {request.path}; batches go to POST /v1/batches")
