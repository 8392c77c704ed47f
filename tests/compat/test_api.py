"""The API itself: versions, errors, bodies; with the words and the status codes of the reference."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engines import Driver, Engine

CONTAINER = {"Image": "busybox", "Cmd": ["true"]}

# (method, path, body, status, part of the message)
ERRORS: list[tuple[str, str, Any, Any, str]] = [
    ("GET", "/containers/nosuch/json", None, 404, "No such container: nosuch"),
    ("POST", "/containers/nosuch/start", None, 404, "No such container: nosuch"),
    ("POST", "/containers/nosuch/exec", {"Cmd": ["true"]}, 404, "No such container: nosuch"),
    ("GET", "/exec/nosuch/json", None, 404, "No such exec instance: nosuch"),
    ("GET", "/images/nosuch/json", None, 404, "No such image: nosuch"),
    ("POST", "/containers/create", {"Image": "nosuch", "Cmd": ["x"]}, 404, "No such image: nosuch:latest"),
    ("POST", "/containers/create?name=-x", CONTAINER, 400, "Invalid container name (-x)"),
    ("POST", "/containers/create", {"Image": "Busybox"}, 400, "invalid reference format"),
    ("GET", "/containers/json?filters=%7Bbad", None, (400, 500), "invalid"),
    ("GET", "/v1.99/version", None, 400, "client version 1.99 is too new. Maximum supported API version is"),
    ("DELETE", "/containers/nosuch", None, 404, "No such container: nosuch"),
    ("GET", "/nosuch", None, 404, "page not found"),
    ("POST", "/images/nosuch/tag?repo=x", None, 404, "No such image: nosuch:latest"),
]  # fmt: skip


@pytest.fixture(params=["dockerd", "sampand"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine: Engine = request.getfixturevalue(request.param)
    yield engine
    engine.remove_containers()


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: f"{case[0]} {case[1]}")
def test_errors(engine: Engine, case: tuple[str, str, Any, Any, str]) -> None:
    """Status and words of an error."""
    method, path, body, status, text = case
    got, answer = engine.request(method, path, body)
    message = answer["message"] if isinstance(answer, dict) else answer
    assert got in (status if isinstance(status, tuple) else (status,)), (got, message)
    assert text in message


def test_start_twice_is_not_modified(engine: Engine) -> None:
    """304 for what is so already."""
    identifier = engine.request(
        "POST", "/containers/create", {"Image": "busybox", "Cmd": ["sleep", "100"]}
    )[1]["Id"]
    assert engine.request("POST", f"/containers/{identifier}/start")[0] == 204
    assert engine.request("POST", f"/containers/{identifier}/start")[0] == 304
    assert engine.request("POST", f"/containers/{identifier}/stop?t=0")[0] == 204
    assert engine.request("POST", f"/containers/{identifier}/stop")[0] == 304


def raw(engine: Engine, request: bytes) -> bytes:
    """What the daemon answers to exactly these bytes, until it closes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(engine.socket))
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
        return answer


def test_ping_headers(engine: Engine) -> None:
    """What clients negotiate by."""
    answer = (
        raw(engine, b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").decode().lower()
    )
    assert answer.startswith("http/1.1 200 ok")
    for header in "api-version: 1.", "ostype: linux", "docker-experimental: false", "server: ":
        assert header in answer
    assert answer.endswith("ok")


HOSTILE_BODIES: list[bytes] = [
    b"{",
    b"[]",
    b'"text"',
    b'{"Image": 5}',
    b'{"Image": "busybox", "Cmd": {"a": 1}}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"Memory": ' + b"9" * 5000 + b"}",
    b'{"HostConfig": {"Memory": NaN}}',
    b"{}{}",
    b"\xff\xfe",
    b"",
]


@pytest.mark.parametrize("body", HOSTILE_BODIES, ids=lambda body: repr(body[:24]))
def test_hostile_bodies_are_refused(sampand: Engine, body: bytes) -> None:
    """400 for every body that is not what it should be; the daemon answers on."""
    status, answer = sampand.request("POST", "/containers/create", body)
    assert status == 400, answer
    assert answer["message"]
    assert sampand.request("GET", "/_ping")[0] == 200


def test_a_body_too_large_is_refused(sampand: Engine) -> None:
    """413 above 4 MiB."""
    body = json.dumps({"Image": "busybox", "Labels": {"a": "x" * (5 << 20)}}).encode()
    assert sampand.request("POST", "/containers/create", body)[0] == 413


SMUGGLING = [
    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    b"GET /_ping HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: y\r\n folded\r\n\r\n",
    b"GET /_ping HTTP/1.1\r\nHost: x\r\nBad\x00Header: y\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", SMUGGLING, ids=lambda r: repr(r[30:80]))
def test_ambiguous_requests_are_refused(sampand: Engine, request_bytes: bytes) -> None:
    """400 and close, so that no second request hides behind a first."""
    assert raw(sampand, request_bytes).startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))


def test_old_and_new_versions(ours: Driver) -> None:
    """Every version from 1.24 to the newest is served."""
    newest = ours.engine.request("GET", "/version")[1]["ApiVersion"]
    for minor in range(24, int(newest.split(".")[1]) + 1):
        status, answer = ours.engine.request("GET", f"/v1.{minor}/containers/json")
        assert (status, answer) == (200, []), minor


def test_version_and_info(driver: Driver) -> None:
    """`version` and `info` tell who answers and on what."""
    version = driver.ok("version")
    assert "Server:" in version
    assert driver.ok("version", "-f", "{{.Server.Os}}") == "linux"
    info = driver.ok("info")
    for line in (
        "Containers: 0",
        "Storage Driver: overlay",
        "Cgroup Driver: cgroupfs",
        "Cgroup Version: 1",
        "Kernel Version:",
    ):
        assert line in info
    assert driver.ok("info", "-f", "{{.OSType}} {{.NCPU}}").split()[0] == "linux"
