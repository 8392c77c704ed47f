"""The daemon's side of the warden, with a peer that answers as it likes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from sampan.linux.channel import Channel
from sampan.network.warden.client import Warden, WardenFailed, WardenLost


@pytest.fixture
def ends() -> Iterator[tuple[Warden, Channel]]:
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, its:
        mine.settimeout(0.2)
        its.settimeout(20)
        warden = Warden("", None)
        warden._channel = Channel(mine)
        yield warden, Channel(its)


def _beside(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_an_answer_that_comes_too_late(ends: tuple[Warden, Channel]) -> None:
    """It is not taken for that of the next question."""
    warden, its = ends
    with pytest.raises(WardenLost, match="does not answer"):
        warden.request("slow")
    assert warden._channel is not None
    warden._channel.sock.settimeout(20)

    def serve() -> None:
        for verb in ("slow", "next"):
            received = its.receive()
            assert received is not None
            its.send({"verb": verb, "n": received[0]["n"]})

    thread = _beside(serve)
    assert warden.request("next")["verb"] == "next"
    thread.join()


def test_what_it_could_not_do(ends: tuple[Warden, Channel]) -> None:
    warden, its = ends

    def serve() -> None:
        received = its.receive()
        assert received is not None
        its.send({"error": "bind: taken", "errno": 98, "n": received[0]["n"]})

    thread = _beside(serve)
    with pytest.raises(WardenFailed, match="bind: taken") as caught:
        warden.request("overlay")
    assert caught.value.errno == 98
    thread.join()
