"""The history API and bad input, made from its own OpenAPI document: never a 5xx, and what breaks a rule is refused.

FLEETWIRE_BAD_INPUT_EXAMPLES=10000 asks that often.
"""

import json
import os
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cloud.api.openapi import document
from tests.web_stand import Stand, batch, column, web_stand

pytestmark = pytest.mark.services

EXAMPLES = int(os.environ.get("FLEETWIRE_BAD_INPUT_EXAMPLES", "600"))
T0 = 1_627_274_455_000
PATHS = ["a", "nobody", "..", "%00", "ä" * 200, "a%2Fb", "'; DROP TABLE samples; --"]
WRONG: dict[str, list[str]] = {
    "integer": ["x", "", "1.5", "NaN", "1e999", "9" * 400, "٣٣x", "\x00"],
    "boolean": ["maybe", "", "2"],
    "date-time": ["soon", "", "2024-13-01T00:00:00Z", "2024-01-01", "1e999", "9999999999999", "2024-01-01T00:00:00"],
    "date": ["soon", "", "2024-02-30", "1e999"],
    "enum": ["zzz", "", "\x00"],
}
ANYTHING = ["", "x", "0", "-1", "1e999", "NaN", "\x00", "ä", "9" * 400, "[" * 1_000, "null", "M.S", "*", "2021-07-26"]
BODIES: list[Any] = [
    None, [], {}, 0, "x", {"x": 1}, {"name": None}, {"name": "\x00", "role": "admin", "password": "12345678"},
    {"name": "x" * 10_000}, {"ids": [2**70]}, {"shift_ms": 1e999}, {"shift_ms": 2**63, "as_it_is": True},
    {"from": "soon"},
    {"from": "0001-01-01T00:00:00Z", "to": "0001-01-01T00:00:01Z"}, {"samples": float("inf")}, {"samples": -1},
]  # fmt: skip
RAW = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"name":1,"name":2}',
    b"NaN",
    b'{"user":"\\u0000","password":"\\ud800"}',
]
NOT_TOUCHED = {("delete", "/v1/session"), ("delete", "/v1/tokens/{name}"), ("delete", "/v1/users/{name}")}
"""They would end the credential that the others ask with."""


@pytest.fixture
async def stand(database_url: str, redis_url: str) -> AsyncIterator[Stand]:
    async with web_stand(database_url, redis_url) as stand:
        await stand.write(batch(t0=T0, signals={"M.S": column((0, 1.0), (5, 2.0))}, events=[{"t": T0, "kind": "x"}]))
        yield stand


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if (method, path) not in NOT_TOUCHED
    ]


def kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "enum"
    return str(schema.get("format") or schema.get("type"))


def queries(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (one for one in operation["parameters"] if one["in"] == "query")


async def ask(
    stand: Stand, method: str, path: str, query: list[tuple[str, str]], data: bytes | None
) -> tuple[int, str]:
    url = stand.url(path)
    headers = stand.bearer("admin")
    async with stand.http.request(method, url, params=query, data=data, headers=headers) as response:
        return response.status, await response.text()


async def test_parameter_that_breaks_its_rule_is_refused_and_named(stand: Stand) -> None:
    asked = 0
    for method, path, operation in operations():
        needed = [("signal", "M.S")] if path.endswith("/series") else []
        for one in queries(operation):
            name, schema = one["name"], one["schema"]
            values = list(WRONG.get(kind(schema), ()))
            if kind(schema) == "integer":
                values += [str(schema["minimum"] - 1), str(schema["maximum"] + 1)]
            for value in values:
                status, text = await ask(stand, method, path.replace("{id}", "a"), [*needed, (name, value)], None)
                assert status == 400, (path, name, value, text)
                assert name in json.loads(text)["detail"], (path, name, value, text)
                asked += 1
    assert asked > 100


async def test_anything_is_answered_or_refused(stand: Stand) -> None:
    rng, all_of = random.Random(20_240_301), operations()
    found: set[int] = set()
    for _ in range(EXAMPLES):
        method, path, operation = rng.choice(all_of)
        for place in ("{id}", "{name}", "{etag}", "{hash}"):
            path = path.replace(place, rng.choice(PATHS))
        names = [one["name"] for one in queries(operation)] + ["unknown"]
        query = [(rng.choice(names), rng.choice(ANYTHING)) for _ in range(rng.randrange(4))]
        data = None
        if "requestBody" in operation:
            data = rng.choice([*RAW, json.dumps(rng.choice(BODIES)).encode()])
        status, text = await ask(stand, method, path, query, data)
        assert status < 500, (method, path, query, data, text)
        if status >= 400:
            assert json.loads(text)["status"] == status
        found.add(status)
    assert {200, 400, 404} <= found
    assert (await stand.get("/v1/vehicles/a/latest", who="admin"))["signals"]["M.S"]["v"] == 2.0
