"""Who waits for the end is answered by the daemon, and by the monitor only when there is none any more."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator

import pytest

from sampan.monitor.loop import Loop
from sampan.monitor.messages import WaitOptions
from sampan.monitor.waits import Waits, answer

DAEMON, OTHER = object(), object()
OPEN: list[socket.socket] = []


class Client:
    """Our end of a connection whose duplicate the monitor has."""

    def __init__(self, waits: Waits, *, removal: bool = False, owner: object = DAEMON) -> None:
        self.sock, theirs = socket.socketpair()
        with theirs:
            options = WaitOptions(removal=removal, chunked=False)
            waits.add(owner, os.dup(theirs.fileno()), options)
        OPEN.append(self.sock)

    def received(self) -> bytes:
        """All until now; the empty string stands for nothing at all, not even the end."""
        try:
            data = self.sock.recv(1000, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        return data or b"(end)"


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(lambda error: pytest.fail(str(error)))
    yield loop
    loop.close()
    while OPEN:
        OPEN.pop().close()


@pytest.fixture
def waits(loop: Loop) -> Waits:
    return Waits(loop)


EXIT = b'{"StatusCode":7}\n'


def test_a_daemon_that_lives_answers_itself(waits: Waits) -> None:
    """Nothing is written, and the duplicate goes with the container."""
    client = Client(waits)
    waits.exited(7, alone=False)
    assert client.received() == b""
    waits.close()
    assert client.received() == b"(end)"


@pytest.mark.parametrize("removal", [False, True])
def test_a_daemon_that_went_before_the_exit(waits: Waits, removal: bool) -> None:
    """The exit is answered when it happens; the removal when another daemon has the container deleted."""
    client = Client(waits, removal=removal)
    waits.lost(DAEMON, last=True)
    assert client.received() == b""
    waits.exited(7, alone=False)
    assert client.received() == (b"" if removal else EXIT)
    waits.close()
    assert client.received() == (EXIT if removal else b"(end)")
    assert client.received() == b"(end)"


@pytest.mark.parametrize("removal", [False, True])
@pytest.mark.parametrize("early", [False, True])
def test_no_daemon_is_left(waits: Waits, removal: bool, early: bool) -> None:
    """Whether it went before the exit or after it, nobody else will answer."""
    client = Client(waits, removal=removal)
    if early:
        waits.lost(DAEMON, last=True)
        waits.exited(7, alone=True)
    else:
        waits.exited(7, alone=False)
        waits.lost(DAEMON, last=True)
    assert client.received() == EXIT
    assert client.received() == b"(end)"


def test_only_the_waits_of_the_lost_daemon(waits: Waits) -> None:
    """Another one that is connected answers its own."""
    client, others = Client(waits), Client(waits, owner=OTHER)
    waits.lost(DAEMON, last=False)
    waits.exited(7, alone=False)
    assert (client.received(), others.received()) == (EXIT, b"")
    waits.close()


def test_a_container_that_never_ran_is_nothing_to_tell(waits: Waits) -> None:
    """Its clients see the end of the connection."""
    client = Client(waits)
    waits.lost(DAEMON, last=True)
    waits.close()
    assert client.received() == b"(end)"


def test_a_client_that_goes_is_forgotten(waits: Waits, loop: Loop) -> None:
    """Its descriptor is closed at once, not at the end."""
    before = len(os.listdir("/proc/self/fd"))
    client = Client(waits)
    client.sock.close()
    loop.step(5)
    assert len(os.listdir("/proc/self/fd")) == before
    waits.lost(DAEMON, last=True)
    waits.exited(7, alone=True)


def test_one_that_takes_nothing_holds_nobody_up(waits: Waits) -> None:
    """Its buffer is full: it goes without an answer, the next gets one."""
    full, client = Client(waits), Client(waits)
    with socket.socket(fileno=os.dup(waits._waits[0].fd)) as theirs:
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                theirs.send(b"x" * 4096)
    waits.lost(DAEMON, last=True)
    waits.exited(7, alone=True)
    assert client.received() == EXIT
    assert EXIT not in full.received()


@pytest.mark.parametrize("code", [0, 7, 137, 255])
def test_the_rest_of_a_chunked_answer(code: int) -> None:
    """An HTTP client that has the head already reads the body and finds its end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + answer(code, chunked=True)
        )
        response = http.client.HTTPResponse(ours)
        response.begin()
        assert json.loads(response.read()) == {"StatusCode": code}
        assert response.isclosed()
