"""The envelope, the settled view, stream identifiers, shards and catalogs."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.catalog import CatalogSignal, catalog_body, catalog_hash, make_catalog
from wire.codec import CodecError
from wire.envelope import Reply, Settled, parse_request
from wire.names import is_vehicle, shard_of
from wire.ranges import RangeSet
from wire.stream_id import new_stream

STREAM = "0199c0de-0000-7000-8000-000000000001"


@given(st.sets(st.integers(0, 50)))
def test_settled_view_keeps_the_set(members: set[int]) -> None:
    view = Settled.describe(STREAM, RangeSet.of(members))
    again = Settled.model_validate_json(view.model_dump_json())
    assert set(again.settled().numbers()) == members
    assert (view.upto, view.head) == (RangeSet.of(members).upto, max(members, default=-1))


def test_an_empty_request_is_a_heartbeat() -> None:
    assert parse_request({}).batches == ()


@pytest.mark.parametrize(
    "value",
    [
        [],
        None,
        {"batches": {}},
        {"batch": []},
        {"streams": [{"stream": STREAM}]},
        {"streams": [{"stream": "x", "next": 0}]},
        {"streams": [{"stream": STREAM, "next": -1}]},
        {"streams": [{"stream": STREAM, "next": 5, "lost": [[3, 2, "evicted"]]}]},
        {"streams": [{"stream": STREAM, "next": 5, "lost": [[0, 5, "evicted"]]}]},
        {"streams": [{"stream": STREAM, "next": 5, "lost": [[0, 1]]}]},
    ],
)
def test_what_is_no_envelope_is_refused(value: Any) -> None:
    with pytest.raises(CodecError):
        parse_request(value)


def test_a_reply_of_a_newer_cloud_is_read() -> None:
    reply = Reply.model_validate_json(json.dumps({"accepted": [{"stream": STREAM, "seq": 1, "new": 0}], "news": 1}))
    assert reply.accepted[0].seq == 1


def test_streams_are_uuids_of_version_7_in_the_order_of_time() -> None:
    first, second = new_stream(1_700_000_000_000), new_stream(1_700_000_000_001)
    assert first < second
    assert uuid.UUID(first).version == 7
    assert uuid.UUID(first).variant == uuid.RFC_4122
    assert len({new_stream(0) for _ in range(1000)}) == 1000


def test_names() -> None:
    assert is_vehicle("truck-0001")
    assert not is_vehicle("truck 1")
    assert not is_vehicle("truck-1\n")
    assert shard_of("truck-0001") == shard_of("truck-0001") < 16


def test_equal_catalogs_hash_equally_in_any_order() -> None:
    a = CatalogSignal(name="A.a", unit="°C", choices={"1": "On"})
    b = CatalogSignal(name="B.b", min=0, max=1.5)
    assert catalog_hash(catalog_body(make_catalog([a, b]))) == catalog_hash(catalog_body(make_catalog([b, a])))
    assert "°C".encode() in catalog_body(make_catalog([a]))
