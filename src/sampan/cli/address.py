"""Where the daemon is: `-H`, the environment, or the default socket; and how to connect to it."""

from __future__ import annotations

import os
from _socket import AF_UNIX, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, getaddrinfo, socket

from sampan.cli.failure import ConnectionFailed, Failure
from sampan.cli.identity import DEFAULT_HOST, DEFAULT_SOCKET

_TCP_PORT = 2375
_KNOWN = ("unix", "tcp", "http")


class Address:
    """A parsed host. `explicit`: somebody named it, so it is not ours to start."""

    def __init__(self, text: str, *, explicit: bool) -> None:
        self.explicit = explicit
        self.scheme, self.path = _parse(text)
        self.text = f"{self.scheme}://{self.path}"

    @property
    def host_header(self) -> str:
        return "localhost" if self.scheme == "unix" else self.path

    def connect(self) -> socket:
        """A connected socket. Raises ConnectionFailed with docker's words, or OSError for the rest."""
        try:
            return _connect_unix(self.path) if self.scheme == "unix" else _connect_tcp(self.path)
        except PermissionError:
            raise ConnectionFailed(
                "permission denied while trying to connect to the sampan daemon socket at "
                f"{self.text}: dial unix {self.path}: connect: permission denied"
            ) from None
        except OSError:
            raise ConnectionFailed(
                f"Cannot connect to the sampan daemon at {self.text}. Is the sampan daemon running?"
            ) from None


def choose(hosts: list[str]) -> Address:
    """The last `-H`, else SAMPAN_HOST, else DOCKER_HOST, else the default socket."""
    named = hosts[-1] if hosts else os.environ.get("SAMPAN_HOST") or os.environ.get("DOCKER_HOST")
    return Address(named or DEFAULT_HOST, explicit=bool(named))


def _parse(text: str) -> tuple[str, str]:
    text = text.strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "tcp", text
    if scheme not in _KNOWN:
        raise Failure(
            f"Failed to initialize: unable to resolve sampan endpoint: invalid bind address format: {text}"
        )
    if scheme == "unix":
        return "unix", rest or DEFAULT_SOCKET
    return "tcp", _host_port(rest.rstrip("/"))


def _host_port(text: str) -> str:
    host = text or "localhost"
    bracket = host.rfind("]")
    return host if ":" in host[bracket + 1 :] else f"{host}:{_TCP_PORT}"


def _connect_unix(path: str) -> socket:
    sock = socket(AF_UNIX, SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def _connect_tcp(text: str) -> socket:
    host, _, port = text.rpartition(":")
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, where in getaddrinfo(host.strip("[]"), port, 0, SOCK_STREAM):
        sock = socket(family, kind, protocol)
        try:
            sock.connect(where)
        except OSError as error:
            sock.close()
            failure = error
            continue
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return sock
    raise failure
