"""Signal catalogs: what the numbers in a batch mean."""

import hashlib
import json
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class CatalogSignal(BaseModel):
    """One signal: its full name, unit, physical range and value table (`{"2": "Reverse"}`, keys are scaled values)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=512)
    unit: str | None = None
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    choices: dict[str, str] | None = None


class Catalog(BaseModel):
    """Every signal that a batch may name, as `PUT /v1/catalogs/{hash}` carries it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signals: tuple[CatalogSignal, ...]


def make_catalog(signals: Iterable[CatalogSignal]) -> Catalog:
    """The catalog of `signals`, in the order of their names, so that equal sets hash equally."""
    return Catalog(signals=tuple(sorted(signals, key=lambda signal: signal.name)))


def canonical_json(value: JsonValue) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def catalog_body(catalog: Catalog) -> bytes:
    """The bytes that are sent, and hashed, for `catalog`."""
    return canonical_json(catalog.model_dump(mode="json"))


def catalog_hash(body: bytes) -> str:
    """The name of a catalog: the SHA-256 of its canonical JSON, in hex."""
    return hashlib.sha256(body).hexdigest()
