"""Versions are negotiated, queries encoded and errors worded as docker does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.cli.address import Address
from sampan.cli.client import Client, encode_query, segment, version_key
from sampan.cli.failure import ConnectionFailed, DaemonError, Failure
from tests.fakes.engine_server import Answer, EngineServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    with EngineServer(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: EngineServer) -> Iterator[Client]:
    made = Client(Address(server.host, explicit=True))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("offered", "used"),
    [("1.24", "1.24"), ("1.9", "1.9"), ("1.50", "1.50"), ("1.55", "1.50"), ("", "1.24")],
)
def test_the_smaller_version_is_used(tmp_path: Path, offered: str, used: str) -> None:
    with EngineServer(tmp_path, api_version=offered) as server:
        server.routes["GET /info"] = Answer()
        client = Client(Address(server.host, explicit=True))
        client.get("/info")
        client.get("/info")
        client.close()
    targets = [request.target for request in server.requests]
    assert targets == ["/_ping", f"/v{used}/info", f"/v{used}/info"]


def test_versions_are_numbers() -> None:
    assert version_key("1.9") < version_key("1.10") < version_key("1.50")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, ""),
        ({"b": 1, "a": "x y&z"}, "?a=x+y%26z&b=1"),
        ({"yes": True, "no": False, "none": None, "empty": "", "zero": 0}, "?empty=&yes=1&zero=0"),
        ({"changes": ["a=b", "c"]}, "?changes=a%3Db&changes=c"),
        ({"none": []}, ""),
        ({"u": "\u00e9\udcff"}, "?u=%C3%A9%FF"),
    ],
)
def test_queries(query: Any, text: str) -> None:
    assert encode_query(query) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x", "x"),
        ("a/b:c@sha256:d", "a/b:c@sha256:d"),
        ("a b?c#d%", "a%20b%3Fc%23d%25"),
        ("../x", "../x"),
        ("\n", "%0A"),
    ],
)
def test_path_segments(name: str, text: str) -> None:
    assert segment(name) == text


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            Answer(404, b'{"message":"No such container: x"}\n'),
            "Error response from daemon: No such container: x",
        ),
        (
            Answer(500, b"plain words\n", {"Content-Type": "text/plain"}),
            "Error response from daemon: plain words",
        ),
        (
            Answer(500, b'{"broken', {"Content-Type": "application/json"}),
            'Error response from daemon: {"broken',
        ),
        (
            Answer(500, b'{"message":""}'),
            "Error response from daemon: API returned a 500 (Answer) but provided no error-message",
        ),
        (
            Answer(503, b""),
            "Error response from daemon: request returned 503 Answer, check if the server supports the requested API version",
        ),
    ],
)
def test_errors_of_the_daemon(
    server: EngineServer, client: Client, answer: Answer, text: str
) -> None:
    server.routes["GET /x"] = answer
    for call in (lambda: client.get("/x"), lambda: client.stream("GET", "/x")):
        with pytest.raises(DaemonError) as error:
            call()
        assert str(error.value) == text
        assert error.value.status == answer.status


def test_an_error_instead_of_a_hijack(server: EngineServer, client: Client) -> None:
    server.routes["POST /attach"] = Answer(409, b'{"message":"paused"}')
    server.routes["POST /odd"] = Answer(204, b"")
    with pytest.raises(DaemonError, match="paused"):
        client.hijack("/attach")
    with pytest.raises(Failure, match="unable to upgrade to tcp, received 204"):
        client.hijack("/odd")


def test_a_closed_connection_is_opened_again(server: EngineServer, client: Client) -> None:
    server.routes["GET /x"] = Answer(
        headers={"Content-Type": "application/json", "Connection": "close"}
    )
    assert [client.get("/x") for _ in range(3)] == [{}] * 3


def test_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "nobody"
    client = Client(Address(f"unix://{path}", explicit=True))
    with pytest.raises(ConnectionFailed) as error:
        client.negotiate()
    assert (
        str(error.value)
        == f"Cannot connect to the sampan daemon at unix://{path}. Is the sampan daemon running?"
    )


def test_a_daemon_is_started_once_and_only_when_nobody_listens(tmp_path: Path) -> None:
    asked = []

    def starter() -> bool:
        asked.append(True)
        server.__enter__()
        return True

    server = EngineServer(tmp_path)
    server.routes["GET /x"] = Answer()
    client = Client(Address(server.host, explicit=False), starter)
    try:
        assert client.get("/x") == {}
        client.stream("GET", "/x").read()
        assert asked == [True]
    finally:
        client.close()
        server.__exit__()


def test_a_starter_may_decline(tmp_path: Path) -> None:
    client = Client(Address(f"unix://{tmp_path}/nobody", explicit=False), lambda: False)
    with pytest.raises(ConnectionFailed):
        client.negotiate()
