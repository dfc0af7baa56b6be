"""Refusals over HTTP: RFC 9457 problem+json that says what to do."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

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
    return web.json_response(
        problem.as_json(), status=problem.status, headers=problem.headers, content_type=CONTENT_TYPE
    )
