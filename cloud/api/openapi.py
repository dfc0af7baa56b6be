"""The OpenAPI 3.1 document of the history API. `python -m cloud.api.openapi` prints it."""

import json
import re
import sys
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cloud.api.call import Route
from cloud.api.query import Query
from cloud.api.replies import ProblemDetails, Shape
from cloud.api.routes import ROUTES
from cloud.problem import CONTENT_TYPE

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"


def document(routes: Iterable[Route] = ROUTES, *, version: str = "1") -> Json:
    """What the routes' own models say, as one JSON-serialisable object."""
    routes = tuple(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fleetwire history API",
            "version": version,
            "description": (
                "Times are RFC 3339 in queries and ms since the Unix epoch in replies. What does not fit a page has a "
                "`next`, which goes into `after`. Errors are RFC 9457 problem details that say what to do."
            ),
        },
        "security": [{"session": []}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "fleetwire_session"},
                "token": {"type": "http", "scheme": "bearer", "description": "an API token, `fwt_…`"},
            },
        },
    }


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _operation(route: Route) -> Json:
    operation: Json = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query)],
        "responses": {str(route.status): _response(route), **_refusals(route)},
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(route.body)}}}
    if route.role is None:
        operation["security"] = []
    elif route.role != "viewer":
        operation["description"] = f"Needs the role {route.role}."
    return operation


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query_parameters(query: type[Query]) -> list[Json]:
    schema = query.model_json_schema(by_alias=True, mode="validation")
    parameters: list[Json] = []
    for name, field in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        parameter: Json = {"name": name, "in": "query", "required": required, "schema": _parameter_schema(field)}
        if description := field.get("description"):
            parameter["description"] = description
        parameters.append(parameter)
    return parameters


def _parameter_schema(field: Json) -> Json:
    """A parameter is absent, never null; titles only repeat names."""
    choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
    kept = {key: value for key, value in field.items() if key not in ("title", "description", "anyOf")}
    if kept.get("default", 0) is None:
        del kept["default"]
    return {**kept, **choices[0]} if choices else kept


def _response(route: Route) -> Json:
    response: Json = {"description": HTTPStatus(route.status).phrase}
    replies = route.reply if isinstance(route.reply, tuple) else (route.reply,)
    refs = [_ref(reply) for reply in replies if reply is not None]
    if refs:
        content: Json = {"application/json": {"schema": refs[0] if len(refs) == 1 else {"oneOf": refs}}}
        content |= {media: {"schema": {"type": "string"}} for media in route.documents}
        response["content"] = content
    return response


def _refusals(route: Route) -> Json:
    always = () if route.role is None else (401,)
    role = (403,) if route.role not in (None, "viewer") else ()
    statuses = sorted({400, 503, *always, *role, *route.refusals})
    problem = {CONTENT_TYPE: {"schema": _ref(ProblemDetails)}}
    return {str(status): {"description": HTTPStatus(status).phrase, "content": problem} for status in statuses}


def _schemas(routes: Iterable[Route]) -> Json:
    shapes: dict[type[Shape], None] = {ProblemDetails: None}
    bodies: dict[type[BaseModel], None] = {}
    for route in routes:
        replies = route.reply if isinstance(route.reply, tuple) else (route.reply,)
        shapes |= dict.fromkeys(reply for reply in replies if reply is not None)
        bodies |= dict.fromkeys([route.body] if route.body else [])
    _, definitions = models_json_schema(
        [*((shape, "serialization") for shape in shapes), *((body, "validation") for body in bodies)],
        by_alias=True,
        ref_template=_REF,
    )
    schemas: Json = _without_titles(definitions["$defs"])
    return dict(sorted(schemas.items()))


def _without_titles(node: Any, *, names: bool = True) -> Any:
    """`names`: the keys of this mapping are names, so that one called 'title' is no title."""
    if isinstance(node, dict):
        return {
            key: _without_titles(value, names=not names and key in ("properties", "$defs"))
            for key, value in node.items()
            if names or key != "title"
        }
    return [_without_titles(item, names=False) for item in node] if isinstance(node, list) else node


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


if __name__ == "__main__":
    sys.stdout.write(text())
