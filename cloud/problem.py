"""Refusals over HTTP: RFC 9457 problem+json that says what to do."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import hdrs, web

from cloud.errors import CloudError

CONTENT_TYPE = "application/problem+json"


class Problem(CloudError):
    """A request that is refused: `status`, a `title` that names the kind, a `detail` that says what to do."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = HTTPStatus(status).phrase
        self.detail = detail
        self.headers = dict(headers or {})

    def as_json(self) -> dict[str, str | int]:
        return {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}


def problem_response(problem: Problem) -> web.Response:
    return web.Response(body=problem_body(problem), status=problem.status, headers=problem_fields(problem))


def problem_fields(problem: Problem) -> list[tuple[str, str]]:
    """Of the answer's head."""
    return [*problem.headers.items(), (str(hdrs.CONTENT_TYPE), f"{CONTENT_TYPE}; charset=utf-8")]


def problem_body(problem: Problem) -> bytes:
    return json.dumps(problem.as_json()).encode()
