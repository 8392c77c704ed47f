"""A daemon that is none: answers the Engine API's requests from a table, and remembers them.

For command lines under test, ours and docker's: what they send must be the same, what they print too.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Without the version."""
        path = self.target.partition("?")[0]
        first, _, rest = path[1:].partition("/")
        return f"/{rest}" if first[:1] == "v" and first[1:2].isdigit() else path

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    hijack: Callable[[socket.socket], None] | None = None
    chunks: list[bytes] | None = None


class EngineServer:
    """Use as a context manager. `routes` maps "METHOD /path" (the path's end will do) to an Answer."""

    def __init__(
        self, directory: Path, *, api_version: str = "1.50", name: str = "engine.sock"
    ) -> None:
        self.path = directory / name
        self.routes: dict[str, Answer | Callable[[Request], Answer]] = {}
        self.requests: list[Request] = []
        self.changed = threading.Condition()
        self._version = api_version
        self._listener = socket.socket(socket.AF_UNIX)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def host(self) -> str:
        return f"unix://{self.path}"

    def __enter__(self) -> EngineServer:
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._begin(self._accept)
        return self

    def __exit__(self, *details: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(10)

    def wait_for(self, method: str, end: str, *, seconds: float = 10) -> Request:
        """The first request of this kind, when it has come."""

        def found() -> Request | None:
            for request in self.requests:
                if request.method == method and request.path.endswith(end):
                    return request
            return None

        with self.changed:
            self.changed.wait_for(lambda: found() is not None, seconds)
        request = found()
        assert request is not None, f"no {method} …{end} among {[r.target for r in self.requests]}"
        return request

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self._begin(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._converse(connection)
        except OSError:
            pass  # the other side, or the end of the test, closed it
        finally:
            connection.close()

    def _converse(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while (request := _read(stream)) is not None:
                with self.changed:
                    self.requests.append(request)
                    self.changed.notify_all()
                answer = self._answer(request)
                _send(connection, request, answer)
                if answer.hijack is not None:
                    answer.hijack(connection)
                    return

    def _answer(self, request: Request) -> Answer:
        if request.path == "/_ping":
            headers = {
                "Api-Version": self._version,
                "Ostype": "linux",
                "Content-Type": "text/plain",
            }
            return Answer(body=b"OK", headers=headers)
        candidates = [
            key
            for key in self.routes
            if key.split(" ")[0] == request.method and request.path.endswith(key.split(" ")[1])
        ]
        if candidates:
            route = self.routes[max(candidates, key=len)]
            return route(request) if callable(route) else route
        return Answer(404, b'{"message":"page not found"}')


def _read(stream: BinaryIO) -> Request | None:
    line = stream.readline()
    if not line:
        return None
    method, target, _ = line.decode().split(" ", 2)
    headers: dict[str, str] = {}
    while text := stream.readline().decode().strip():
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    if "content-length" in headers:
        return Request(method, target, headers, stream.read(int(headers["content-length"])))
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    return Request(method, target, headers, body)


def _send(connection: socket.socket, request: Request, answer: Answer) -> None:
    reason = "UPGRADED" if answer.status == 101 else "Answer"
    head = f"HTTP/1.1 {answer.status} {reason}\r\n"
    for name, value in answer.headers.items():
        head += f"{name}: {value}\r\n"
    if answer.hijack is not None:
        connection.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
    elif answer.chunks is not None:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for chunk in answer.chunks:
            connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        connection.sendall(b"0\r\n\r\n")
    else:
        body = b"" if request.method == "HEAD" or answer.status in (204, 304) else answer.body
        connection.sendall(f"{head}Content-Length: {len(answer.body)}\r\n\r\n".encode() + body)
