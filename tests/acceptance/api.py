"""The history API as a client sees it."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode


@dataclass(frozen=True)
class Api:
    """Reads with an API token."""

    web: str
    token: str

    def get(self, path: str, **query: Any) -> Any:
        """GET a JSON document below /v1."""
        url = f"{self.web}/v1/{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def vehicles(self) -> dict[str, Any]:
        """Every vehicle by its id."""
        found: dict[str, Any] = {}
        after: dict[str, str] = {}
        while True:
            page = self.get("vehicles", limit=100, **after)
            found |= {vehicle["id"]: vehicle for vehicle in page["vehicles"]}
            if page["next"] is None:
                return found
            after = {"after": page["next"]}

    def completeness(self, vehicle: str) -> list[dict[str, Any]]:
        """The streams of a vehicle."""
        streams: list[dict[str, Any]] = self.get(f"vehicles/{quote(vehicle)}/completeness")["streams"]
        return streams
