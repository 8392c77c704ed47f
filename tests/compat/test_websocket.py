"""Attach over a WebSocket, on both engines."""

from __future__ import annotations

import base64
import os
import socket

import pytest

from tests.engines import Driver, Engine, wait_until
from tests.unit.wire.test_websocket import masked


class Client:
    """One connection; frames of a container's are read as they come."""

    def __init__(self, engine: Engine, path: str, **headers: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(str(engine.socket))
        wanted = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = [f"GET {path} HTTP/1.1", "Host: d", *(f"{n}: {v}" for n, v in wanted.items() if v)]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def send(self, opcode: int, payload: bytes) -> None:
        self.socket.sendall(masked(opcode, payload))

    def receive(self) -> tuple[int, bytes]:
        first, length = self.file.read(2)
        if length >= 126:
            length = int.from_bytes(self.file.read(2 if length == 126 else 8), "big")
        return first & 0x0F, self.file.read(length)

    def until(self, text: bytes) -> bytes:
        found = b""
        while text not in found:
            opcode, payload = self.receive()
            assert opcode == 2, (opcode, payload)
            found += payload
        return found

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture(params=["dockerd", "sampand"])
def engine(request: pytest.FixtureRequest) -> object:
    found: Engine = request.getfixturevalue(request.param)
    yield found
    found.remove_containers()


ALL = "logs=1&stream=1&stdin=1&stdout=1&stderr=1"


def test_both_ways(engine: Engine) -> None:
    """What was written before, what is echoed, ping, close; the container goes on."""
    driver = Driver(engine, "docker")
    driver.ok("run", "-d", "-i", "--name", "c1", "busybox", "sh", "-c", "echo before; cat")
    wait_until(lambda: driver.ok("logs", "c1") == "before", "the first line")
    client = Client(engine, f"/v1.41/containers/c1/attach/ws?{ALL}")
    assert client.status == 101
    assert client.until(b"before\n") == b"before\n"
    client.send(2, b"one\n")
    client.until(b"one\n")
    client.send(1, b"two\n")
    client.until(b"two\n")
    client.send(9, b"ping")
    assert client.receive() == (10, b"ping")
    client.send(8, b"\x03\xe8")
    assert client.receive() == (8, b"\x03\xe8")
    client.close()
    assert driver.ok("inspect", "-f", "{{.State.Running}}", "c1") == "true"


def test_the_end(sampand: Engine) -> None:
    """A close frame when the container ends; much output is whole."""
    driver = Driver(sampand, "docker")
    driver.ok("create", "--name", "c1", "busybox", "sh", "-c", "head -c 1000000 /dev/zero")
    client = Client(sampand, "/containers/c1/attach/ws?stream=1&stdout=1")
    driver.ok("start", "c1")
    size = 0
    while True:
        opcode, payload = client.receive()
        if opcode == 8:
            break
        size += len(payload)
    assert (size, payload) == (1_000_000, b"\x03\xe8")
    client.close()
    sampand.remove_containers()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/containers/nosuch/attach/ws?stream=1", {}, 404),
        ("/containers/c1/attach/ws?stream=1&detachKeys=ctrl-zz", {}, 400),
        ("/containers/c1/attach/ws?stream=1", {"Upgrade": ""}, 400),
        ("/containers/c1/attach/ws?stream=1", {"Sec_WebSocket_Key": "x"}, 400),
        ("/containers/c1/attach/ws?stream=1", {"Sec_WebSocket_Version": "8"}, 400),
        ("/containers/c1/attach/ws?stream=1", {"Origin": "http://evil"}, 403),
    ],
)
def test_refused(sampand: Engine, path: str, headers: dict[str, str], status: int) -> None:
    """No container, bad keys, no handshake, a browser's page."""
    Driver(sampand, "docker").ok("create", "--name", "c1", "busybox")
    client = Client(sampand, path, **headers)
    client.close()
    sampand.remove_containers()
    assert client.status == status


def test_bad_frames(sampand: Engine) -> None:
    """A client that breaks the rules is told so, and cut."""
    driver = Driver(sampand, "docker")
    driver.ok("run", "-d", "-i", "--name", "c1", "busybox", "cat")
    client = Client(sampand, f"/containers/c1/attach/ws?{ALL}")
    client.socket.sendall(b"\x82\x04plain....")
    assert client.receive() == (8, (1002).to_bytes(2, "big"))
    assert client.file.read() == b""
    client.close()
    driver.close()
