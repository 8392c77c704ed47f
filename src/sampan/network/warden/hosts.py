"""Names across hosts: this warden and those of the other hosts of a network ask each other.

    question   NAME.VNI.vxlan, of the type that the container asked for     (DNS over UDP, beside VXLAN's port)
    answer     what is known there of containers on that host, and of nobody else

A question goes to all of a network's hosts at once, and what they know is put together. A host that has not
answered is still asked, but not waited for, until something comes from it again. Only the hosts of the
network that is asked about are answered.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from sampan.errors import ProtocolError
from sampan.network.warden.loop import Loop
from sampan.network.warden.names import Names, View
from sampan.wire import dns

PATIENCE = 0.5  # seconds for an answer; asked again after a third of it
MAX_ASKED = 1024  # questions under way
BATCH = 64
SUFFIX = ".vxlan"

Record = tuple[int, bytes]
Done = Callable[[list[Record] | None], None]
"""Records, [] for a name that has none of this kind; None: nobody knows it."""


@dataclass(slots=True)
class Hosts:
    """Those of one network."""

    vni: int
    local: str
    port: int
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Packet:
    """One question to one host; `identity` is one network's."""

    identity: int
    sock: socket.socket
    data: bytes
    target: tuple[str, int]

    @property
    def key(self) -> tuple[int, str]:
        return self.identity, self.target[0]


@dataclass(slots=True)
class Asked:
    query: dns.Query
    packets: list[Packet]
    waiting: set[tuple[int, str]]
    done: Done
    records: list[Record] = field(default_factory=list)
    known: bool = False
    over: bool = False


class Neighbourhood:
    def __init__(self, loop: Loop, names: Names) -> None:
        self._loop, self._names = loop, names
        self._hosts: dict[str, Hosts] = {}
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        self._asked: dict[int, Asked] = {}
        self._silent: set[str] = set()

    def put(self, network: str, *, vni: int, local: str, port: int, peers: Iterable[str]) -> None:
        """Instead of what was known of the network. Raises OSError."""
        place = (local, port)
        if place not in self._sockets:
            family = socket.AF_INET6 if ":" in local else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            try:
                sock.bind(place)
            except BaseException:
                sock.close()
                raise
            self._sockets[place] = sock
            self._loop.watch(sock.fileno(), partial(self._on_readable, sock))
        self._hosts[network] = Hosts(vni, local, port, tuple(peers))
        self._close_unused()

    def drop(self, network: str) -> None:
        self._hosts.pop(network, None)
        self._close_unused()

    def _close_unused(self) -> None:
        used = {(hosts.local, hosts.port) for hosts in self._hosts.values()}
        for place in self._sockets.keys() - used:
            sock = self._sockets.pop(place)
            self._loop.forget(sock.fileno())
            sock.close()

    def concerns(self, view: View, query: dns.Query) -> bool:
        """Whether other hosts may know something that this container asks."""
        return query.klass == dns.IN and any(
            self._hosts[place.network].peers
            for place in view.places
            if place.network in self._hosts
        )

    def ask(self, view: View, query: dns.Query, done: Done) -> None:
        """`done` is called once, with what the others know."""
        packets = list(self._packets(view, query))
        identities = {packet.identity for packet in packets}
        if not packets or len(self._asked) >= MAX_ASKED or identities & self._asked.keys():
            done(None)
            return
        waiting = {packet.key for packet in packets if packet.target[0] not in self._silent}
        asked = Asked(query, packets, waiting, done)
        self._asked |= dict.fromkeys(identities, asked)
        self._send(asked, {packet.key for packet in packets})
        if waiting:
            self._loop.after(PATIENCE / 3, partial(self._again, asked))
            self._loop.after(PATIENCE, partial(self._late, asked))
        else:
            self._finish(asked)

    def _packets(self, view: View, query: dns.Query) -> Iterable[Packet]:
        for place in view.places:
            hosts = self._hosts.get(place.network)
            if hosts is None:
                continue
            name = view.links.get(query.name, query.name)
            name = name.removesuffix(f".{place.domain.lower()}")
            try:
                question = dns.encode_name(f"{name}.{hosts.vni}{SUFFIX}")
            except ProtocolError:
                continue
            identity = secrets.randbits(16)
            header = dns.HEADER.pack(identity, 0, 1, 0, 0, 0)
            data = header + question + dns.FIXED.pack(query.kind, dns.IN)
            sock = self._sockets[hosts.local, hosts.port]
            for peer in hosts.peers:
                yield Packet(identity, sock, data, (peer, hosts.port))

    def _send(self, asked: Asked, keys: set[tuple[int, str]]) -> None:
        for packet in asked.packets:
            if packet.key in keys:
                with suppress(OSError):
                    packet.sock.sendto(packet.data, packet.target)

    def _again(self, asked: Asked) -> None:
        if not asked.over:
            self._send(asked, asked.waiting)

    def _late(self, asked: Asked) -> None:
        if not asked.over:
            self._silent |= {peer for _, peer in asked.waiting}
            self._finish(asked)

    def _finish(self, asked: Asked) -> None:
        asked.over = True
        for packet in asked.packets:
            self._asked.pop(packet.identity, None)
        asked.done(asked.records if asked.known else None)

    def _on_readable(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data, source = sock.recvfrom(4096)
            except OSError:
                return
            peer = source[0].partition("%")[0]
            if any(peer in hosts.peers for hosts in self._hosts.values()):
                self._silent.discard(peer)
                with suppress(ProtocolError, OSError):
                    self._on_datagram(sock, data, peer, source)

    def _on_datagram(
        self, sock: socket.socket, data: bytes, peer: str, source: tuple[object, ...]
    ) -> None:
        if len(data) >= dns.HEADER.size and data[2] & 0x80:
            self._on_answer(data, peer)
            return
        query = dns.parse_query(data)
        name, _, vni = query.name.removesuffix(SUFFIX).rpartition(".")
        for network, hosts in self._hosts.items():
            if vni == str(hosts.vni) and peer in hosts.peers:
                records = self._names.neighbours(network, name, query.kind)
                code = dns.NXDOMAIN if records is None else dns.NOERROR
                answer = dns.build_answer(query, records or (), code=code, limit=1400)
                sock.sendto(answer, source)

    def _on_answer(self, data: bytes, peer: str) -> None:
        identity = int.from_bytes(data[:2], "big")
        asked = self._asked.get(identity)
        if asked is None or (identity, peer) not in {packet.key for packet in asked.packets}:
            return
        asked.known = asked.known or data[3] & dns.RCODE == dns.NOERROR
        kinds = (dns.A, dns.AAAA) if asked.query.kind == dns.ANY else (asked.query.kind,)
        found = [item for item in dns.read_records(data) if item[0] in kinds]
        asked.records += [item for item in found if item not in asked.records]
        asked.waiting.discard((identity, peer))
        if not asked.waiting:
            self._finish(asked)


def merged(own: list[Record] | None, others: list[Record] | None) -> list[Record] | None:
    """As either of them."""
    if own is None or others is None:
        return own if others is None else others
    return [*own, *(item for item in others if item not in own)]
