"""The port for OsmAnd-style reports: answered 200 once they are committed, so that a phone may forget them."""

import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from cloud.ingest.body import read_body
from cloud.ingest.devices import Devices
from cloud.ingest.metrics import IngestMetrics
from cloud.ingest.osmand import Report, of_json, of_parameters, read_report
from cloud.ingest.service import Ingest
from cloud.ingest.thorough import read_json
from cloud.ingest.turns import Turns
from cloud.problem import Problem, problem_response

MOST_BYTES: Final = 64_000
MOST_FIELDS: Final = 200
_ROUTE: Final = "osmand"


class OsmandApi:
    def __init__(self, ingest: Ingest, devices: Devices, metrics: IngestMetrics) -> None:
        self._ingest = ingest
        self._devices = devices
        self._metrics = metrics
        self._turns = Turns()

    def make_app(self) -> web.Application:
        app = web.Application()
        app.router.add_route(hdrs.METH_ANY, "/{anywhere:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        response: web.StreamResponse
        try:
            await self._take(request)
            response = web.Response(text="OK\n")
        except Problem as problem:
            response = problem_response(problem)
        self._metrics.answered(_ROUTE, response.status, time.perf_counter() - began)
        return response

    async def _take(self, request: web.Request) -> None:
        if request.method not in (hdrs.METH_GET, hdrs.METH_POST):
            raise Problem(405, "reports come as GET or POST", headers={hdrs.ALLOW: "GET, POST"})
        if request.path != "/":
            raise Problem(404, "reports go to /")
        report = await _report(request)
        device = await self._devices.reporting_as(report.device)
        with self._turns.of(device.vehicle):
            await self._ingest.store_events(device, [read_report(report, device.vehicle, time.time_ns() // 1_000_000)])


async def _report(request: web.Request) -> Report:
    """Raises Problem 400, 408, 413 or 415."""
    parameters = _single(request.query.items())
    if request.method == hdrs.METH_GET:
        return of_parameters(parameters)
    body = (await read_body(request, limit=MOST_BYTES, plain_limit=MOST_BYTES)).plain
    if request.content_type == "application/json":
        return of_json(read_json(body))
    if not body.strip():
        return of_parameters(parameters)
    try:
        text = body.decode()
        form = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except (UnicodeDecodeError, ValueError) as error:
        raise Problem(400, f"the body is no form: {error}") from error
    return of_parameters({**parameters, **_single(form)})


def _single(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Raises Problem 400 for a name that is given twice: only one of them can be meant."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            raise Problem(400, f"'{name[:64]}' is given twice, with different values")
    return found
