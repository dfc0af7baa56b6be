"""Ports: a remembered one where it is free, else the next."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.services.errors import ServiceError
from cloud.services.ports import FIRST, LAST, home_port, next_free_port, port_is_free


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not port_is_free(taken_port)


def test_port_with_a_closed_connection_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # reuses addresses, as servers do
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            listener.accept()[0].close()  # the server's side closes first and is left in TIME_WAIT
            client.recv(1)
    assert port_is_free(port)


def test_next_free_port_skips_listeners_and_what_others_were_given(taken_port: int) -> None:
    found = next_free_port(taken_port, taken=frozenset({taken_port + 1}))
    assert found > taken_port + 1


def test_no_free_port_is_an_error(taken_port: int) -> None:
    with pytest.raises(ServiceError, match="no free port"):
        next_free_port(taken_port, last=taken_port)


def test_homes_begin_at_different_ports_below_the_ephemeral_range(tmp_path: Path) -> None:
    starts = {home_port(tmp_path / name) for name in ("first", "second", "third")}
    assert len(starts) == 3
    assert all(FIRST <= start < LAST for start in starts)
