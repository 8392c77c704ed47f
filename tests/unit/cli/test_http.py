"""Requests and answers on a socket, byte by byte, whatever the peer does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from sampan.cli.http import Connection, ProtocolFailure

Peer = Callable[[socket.socket], None]
HEAD = "Host: here\r\nUser-Agent: me\r\n"


class Pair:
    """A connection, and a peer that runs beside."""

    def __init__(self, peer: Peer) -> None:
        ours, self.theirs = socket.socketpair()
        # The client works on the C type, without the methods Python adds.
        self.connection = Connection(ours, "here", "me")
        self.received = b""
        self.thread = threading.Thread(target=self._run, args=(peer,), daemon=True)
        self.thread.start()

    def _run(self, peer: Peer) -> None:
        try:
            peer(self.theirs)
        except OSError:
            pass  # the client has seen enough
        finally:
            self.theirs.close()

    def close(self) -> None:
        self.connection.close()
        self.thread.join(10)


@pytest.fixture
def pair() -> Iterator[Callable[[Peer], Pair]]:
    pairs: list[Pair] = []

    def make(peer: Peer) -> Pair:
        pairs.append(Pair(peer))
        return pairs[-1]

    yield make
    for made in pairs:
        made.close()


def saying(answer: bytes, *, drip: bool = False, heard: list[bytes] | None = None) -> Peer:
    """Read up to the blank line, answer (a byte a time when dripping), close."""

    def peer(sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        if heard is not None:
            heard.append(data)
        for piece in [answer[i : i + 1] for i in range(len(answer))] if drip else [answer]:
            sock.sendall(piece)

    return peer


@pytest.mark.parametrize("drip", [False, True])
@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 404, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, b"to the end"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n",
            200,
            b"hello world",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
    ],
)
def test_answers(
    pair: Callable[[Peer], Pair], answer: bytes, status: int, body: bytes, drip: bool
) -> None:
    response = pair(saying(answer, drip=drip)).connection.request("GET", "/x")
    assert (response.status, response.read()) == (status, body)


def test_head_has_no_body(pair: Callable[[Peer], Pair]) -> None:
    connection = pair(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")).connection
    assert connection.request("HEAD", "/_ping").read() == b""


@pytest.mark.parametrize(
    ("method", "body", "headers", "sent"),
    [
        ("GET", None, {}, b""),
        ("POST", None, {}, b"Content-Length: 0\r\n"),
        ("POST", b"", {"A": "b"}, b"A: b\r\nContent-Length: 0\r\n"),
        ("POST", b"{}", {"Content-Type": "x"}, b"Content-Type: x\r\nContent-Length: 2\r\n"),
    ],
)
def test_requests(
    pair: Callable[[Peer], Pair],
    method: str,
    body: bytes | None,
    headers: dict[str, str],
    sent: bytes,
) -> None:
    heard: list[bytes] = []
    connection = pair(
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", heard=heard)
    ).connection
    connection.request(method, "/path?q=1", body=body, headers=headers).read()
    expected = f"{method} /path?q=1 HTTP/1.1\r\n{HEAD}".encode() + sent + b"\r\n" + (body or b"")
    assert heard == [expected]


def test_a_body_in_pieces_is_sent_in_chunks(pair: Callable[[Peer], Pair]) -> None:
    heard: list[bytes] = []

    def peer(sock: socket.socket) -> None:
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += sock.recv(65536)
        heard.append(data.partition(b"\r\n\r\n")[2])
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    pair(peer).connection.request(
        "POST", "/x", body=iter([b"abc", b"", b"0123456789abcdef"])
    ).read()
    assert heard == [b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"]


def test_an_answer_during_the_body_does_not_stop_either_side(pair: Callable[[Peer], Pair]) -> None:
    """The peer answers a lot before it reads on: with a client that only sends, both would wait for ever."""
    size = 4 << 20

    def peer(sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(1024)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        while not data.endswith(b"0\r\n\r\n"):
            data = data[-8:] + sock.recv(1 << 16)

    pieces = iter([b"y" * 65536] * 64)
    response = pair(peer).connection.request("POST", "/x", body=pieces)
    assert len(response.read()) == size


def test_a_refusal_before_the_body_is_read_is_heard(pair: Callable[[Peer], Pair]) -> None:
    def peer(sock: socket.socket) -> None:
        sock.recv(1024)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        sock.shutdown(socket.SHUT_RDWR)

    response = pair(peer).connection.request("POST", "/x", body=iter([b"y" * 65536] * 1000))
    assert (response.status, response.read()) == (413, b"no")


def test_one_connection_serves_many_requests(pair: Callable[[Peer], Pair]) -> None:
    def peer(sock: socket.socket) -> None:
        while sock.recv(65536):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    connection = pair(peer).connection
    assert [connection.request("GET", "/").read() for _ in range(3)] == [b"ok"] * 3


def test_bytes_behind_a_hijack_are_kept(pair: Callable[[Peer], Pair]) -> None:
    connection = pair(saying(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nfirst")).connection
    assert connection.request("POST", "/attach").status == 101
    assert b"".join(connection.read_to_end()) == b"first"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (2 << 20),
    ],
)
def test_nonsense_is_a_failure(pair: Callable[[Peer], Pair], answer: bytes) -> None:
    connection = pair(saying(answer)).connection
    with pytest.raises(ProtocolFailure):
        connection.request("GET", "/x").read()


def test_no_more_is_read_than_wanted(pair: Callable[[Peer], Pair]) -> None:
    connection = pair(
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"z" * 5000000)
    ).connection
    assert connection.request("GET", "/x").read(1000) == b"z" * 1000
