"""The OpenAPI document says what the routes do, and the copy that the dashboard's types are made from is this one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cloud.api.openapi import document, text
from cloud.api.routes import ROUTES

COPY = Path(__file__).parent.parent.parent / "dashboard" / "openapi.json"


def test_the_dashboards_copy_is_up_to_date() -> None:
    assert COPY.read_text(encoding="utf-8") == text(), "run: python -m cloud.api.openapi > dashboard/openapi.json"


def test_every_route_is_described_once() -> None:
    operations = [(method, path) for path, item in document()["paths"].items() for method in item]
    assert sorted(operations) == sorted((route.method.lower(), route.path) for route in ROUTES)
    names = [item["operationId"] for path in document()["paths"].values() for item in path.values()]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere() -> None:
    schemas = document()["components"]["schemas"]
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document())):
        assert reference in schemas


def test_every_refusal_is_a_problem_and_nothing_but_sign_in_is_open() -> None:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                assert (int(status) < 300) == ("application/problem+json" not in response.get("content", ()))
            is_open = operation.get("security") == []
            assert is_open == ((method, path) == ("post", "/v1/session"))
            assert is_open or "401" in operation["responses"]


@pytest.mark.parametrize(
    ("path", "name", "schema"),
    [
        ("/v1/vehicles", "limit", {"type": "integer", "default": 100, "minimum": 1, "maximum": 1000}),
        ("/v1/vehicles/{id}/track", "from", {"type": "string", "format": "date-time"}),
        ("/v1/reports/daily", "from", {"type": "string", "format": "date"}),
    ],
)
def test_parameters_carry_their_bounds(path: str, name: str, schema: dict[str, Any]) -> None:
    parameters = {parameter["name"]: parameter for parameter in document()["paths"][path]["get"]["parameters"]}
    assert parameters[name]["schema"] == schema
    assert parameters[name]["in"] == "query"


def test_repeatable_parameter_is_required_and_a_list() -> None:
    parameters = document()["paths"]["/v1/vehicles/{id}/series"]["get"]["parameters"]
    signal = next(parameter for parameter in parameters if parameter["name"] == "signal")
    assert signal["required"]
    assert signal["schema"]["type"] == "array"
