"""The host's ports of containers, each held by a bound socket, so that a conflict is one for everybody.

A TCP port listens: what the firewall forwards never gets here, and what it does not (IPv6 to a
container without it, `publish-mode host`, the moment after somebody flushed the rules) is relayed.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

ANY = ("0.0.0.0", "::")
BOTH = ""  # of a socket for both
ATTEMPTS = 64  # for a free port that suits all addresses
BACKLOG = 1024
KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
# What a host without IPv6, or a kernel without SCTP, answers.
LACKING = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`count` ports of the container, from `container_port` on, at one of the host's `first`..`last`.

    `first` 0: any free one. No addresses: all, of both families, as far as the host has them.
    With a count, `first`..`last` are as many."""

    protocol: str
    container_port: int
    addresses: tuple[str, ...] = ()
    first: int = 0
    last: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Held:
    protocol: str
    address: str
    host_port: int
    container_port: int
    count: int = 1


class Refused(Exception):
    """`allocated`: another container has it; else `errno` says what the kernel has against it."""

    def __init__(self, wanted: Wanted, address: str, port: int, number: int) -> None:
        super().__init__(f"{address}:{port}/{wanted.protocol}: {os.strerror(number)}")
        self.protocol, self.address, self.port, self.errno = wanted.protocol, address, port, number
        self.container_port = wanted.container_port
        self.allocated = False


@dataclass(slots=True)
class Bound:
    """`sock` is None where the kernel does not know the protocol: then the port is only booked."""

    protocol: str
    address: str
    host_port: int
    container_port: int
    sock: socket.socket | None


@dataclass(slots=True)
class Hold:
    """All ports of one container."""

    owner: str
    held: list[Held] = field(default_factory=list)
    bound: list[Bound] = field(default_factory=list)

    def close(self) -> None:
        for item in self.bound:
            if item.sock is not None:
                item.sock.close()
        self.bound.clear()


def hold(owner: str, wishes: list[Wanted]) -> Hold:
    """All or nothing. Raises Refused."""
    made = Hold(owner)
    try:
        for wanted in wishes:
            made.held += list(_hold_one(made, wanted))
    except BaseException:
        made.close()
        raise
    return made


def _hold_one(made: Hold, wanted: Wanted) -> Iterator[Held]:
    addresses = wanted.addresses or ANY
    if wanted.count > 1 or wanted.first:
        found = _first_that_fits(made, wanted, addresses)
    else:
        found = _any_port(made, wanted, addresses)
    port, used = found
    for address in used:
        yield Held(wanted.protocol, address, port, wanted.container_port, wanted.count)


def _first_that_fits(
    made: Hold, wanted: Wanted, addresses: tuple[str, ...]
) -> tuple[int, list[str]]:
    last = wanted.first if wanted.count > 1 else wanted.last
    for port in range(wanted.first, last + 1):
        try:
            return port, _bind_all(made, wanted, addresses, port)
        except Refused as error:
            if port == last or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("a range has at least one port")


def _any_port(made: Hold, wanted: Wanted, addresses: tuple[str, ...]) -> tuple[int, list[str]]:
    for attempt in range(ATTEMPTS):
        probe = _bind(wanted, addresses[0], 0)
        port = probe.getsockname()[1] if probe is not None else 49153 + attempt
        if probe is not None:
            probe.close()
        try:
            return port, _bind_all(made, wanted, addresses, port)
        except Refused as error:
            if attempt == ATTEMPTS - 1 or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("there is at least one attempt")


def _bind_all(made: Hold, wanted: Wanted, addresses: tuple[str, ...], port: int) -> list[str]:
    """The ports from `port` on, at every address. Which addresses the host has."""
    if wanted.addresses:
        for address in addresses:
            made.bound += _bind_run(wanted, address, port)
        return list(addresses)
    try:  # one socket for both families: ten thousand ports are descriptors enough
        made.bound += _bind_run(wanted, BOTH, port)
    except Refused as error:
        if error.errno not in (*LACKING, errno.EADDRNOTAVAIL):
            raise
        made.bound += _bind_run(wanted, ANY[0], port)
        return [ANY[0]]
    return list(ANY)


def _bind_run(wanted: Wanted, address: str, port: int) -> list[Bound]:
    """Raises Refused, with none of them bound."""
    done: list[Bound] = []
    try:
        for offset in range(wanted.count):
            sock = _bind(wanted, address, port + offset)
            number = wanted.container_port + offset
            done.append(Bound(wanted.protocol, address, port + offset, number, sock))
    except BaseException:
        for item in done:
            if item.sock is not None:
                item.sock.close()
        raise
    return done


def _bind(wanted: Wanted, address: str, port: int) -> socket.socket | None:
    family = socket.AF_INET if "." in address else socket.AF_INET6
    shown = address or ANY[0]
    try:
        sock = socket.socket(
            family, KINDS[wanted.protocol] | socket.SOCK_NONBLOCK, PROTOCOLS[wanted.protocol]
        )
    except OSError as error:
        if wanted.protocol == "sctp" and error.errno in LACKING:
            return None
        raise Refused(wanted, shown, port, error.errno or 0) from None
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != BOTH)
        if wanted.protocol != "udp":
            # Connections that ended are no conflict; who listens still is one.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address or ANY[1], port))
        if wanted.protocol != "udp" and port:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise Refused(wanted, shown, port, error.errno or 0) from None
    return sock
