"""Serves the route table: parses what comes in, asks the handler, writes what goes out."""

from datetime import UTC, datetime
from http import HTTPStatus

import asyncpg
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from cloud.access.auth import NOBODY, PRINCIPAL
from cloud.access.login_throttle import LoginThrottle
from cloud.api.call import Call, Document, InFlight, Reply, Route
from cloud.api.openapi import text
from cloud.api.query import explain, parse_query
from cloud.api.routes import ROUTES
from cloud.api.session import THROTTLE
from cloud.database import UNAVAILABLE, Pool, is_about_the_data
from cloud.problem import Problem, problem_response

OPENAPI = "/v1/openapi.json"
COMPRESS_FROM_BYTES = 1000

_log = structlog.get_logger()


def add_api(app: web.Application, db: Pool, in_flight: InFlight) -> None:
    """Adds every route. Needs the middlewares `problems` and `require_credential`."""
    app[THROTTLE] = LoginThrottle()
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _serve(route, db, in_flight))
    described = text()

    async def openapi(_: web.Request) -> web.StreamResponse:
        return _finished(web.Response(text=described, content_type="application/json"))

    app.router.add_get(OPENAPI, openapi)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What is refused below /v1/ is a problem document, also where no route is found or the database is away."""
    if not request.path.startswith("/v1/"):
        return await handler(request)
    try:
        return await handler(request)
    except Problem as problem:
        return problem_response(problem)
    except web.HTTPException as error:
        return problem_response(_as_problem(request, error))
    except (*UNAVAILABLE, asyncpg.PostgresError) as error:
        if is_about_the_data(error):
            return problem_response(Problem(400, f"the database knows no such value: {error}"))
        if not isinstance(error, UNAVAILABLE):
            raise
        _log.warning("database_unavailable", path=request.path, problem=str(error) or type(error).__name__)
        return problem_response(
            Problem(503, "the database does not answer; try again in a few seconds", headers={"Retry-After": "5"})
        )


def _serve(route: Route, db: Pool, in_flight: InFlight) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        principal = request.get(PRINCIPAL, NOBODY)
        if route.role is not None and not principal.may(route.role):
            raise Problem(403, f"this needs the role {route.role}, and '{principal.name}' is {principal.role}")
        call = Call(
            db=db,
            in_flight=in_flight,
            principal=principal,
            path=dict(request.match_info),
            query=parse_query(route.query, request.query),
            body=await _body(route, request),
            now=datetime.now(UTC),
            request=request,
        )
        return _finished(_response(route, await route.handler(call)))

    return serve


async def _body(route: Route, request: web.Request) -> BaseModel | None:
    if route.body is None:
        return None
    try:
        return route.body.model_validate_json(await request.read())
    except ValidationError as error:
        raise Problem(400, explain(error)) from None


def _response(route: Route, reply: Reply) -> web.Response:
    if isinstance(reply, web.Response):
        return reply
    if reply is None:
        return web.Response(status=204)
    if isinstance(reply, Document):
        disposition = f'attachment; filename="{reply.filename}"'
        return web.Response(
            text=reply.text,
            content_type=reply.content_type,
            charset="utf-8",
            headers={hdrs.CONTENT_DISPOSITION: disposition} | ({"X-Next": reply.next} if reply.next else {}),
        )
    return web.Response(status=route.status, text=reply.model_dump_json(by_alias=True), content_type="application/json")


def _finished(response: web.Response) -> web.StreamResponse:
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    if response.body is not None and len(response.text or "") >= COMPRESS_FROM_BYTES:
        response.enable_compression()
    return response


def _as_problem(request: web.Request, error: web.HTTPException) -> Problem:
    if error.status == HTTPStatus.NOT_FOUND:
        return Problem(404, f"there is nothing at {request.path}; GET {OPENAPI} lists what there is")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} is not possible here; there is {allowed}"
        return Problem(405, detail, headers={hdrs.ALLOW: allowed})
    return Problem(error.status, error.text or error.reason)
