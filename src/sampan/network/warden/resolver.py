"""Name servers inside containers' namespaces, at 127.0.0.11, answered by this process.

The sockets are bound to ports that the kernel chooses, and a rule in the namespace leads port 53 there, so
that a container may serve port 53 itself. Who is asked about other names is asked from the host's namespace.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from sampan.errors import ProtocolError
from sampan.linux.constants import CLONE_NEWNET
from sampan.linux.kernel import LinuxKernel
from sampan.linux.nft import open_nft
from sampan.network.warden import upstream
from sampan.network.warden.egress import Policies
from sampan.network.warden.hosts import Neighbourhood, merged
from sampan.network.warden.loop import Loop
from sampan.network.warden.names import TTL, Names, View
from sampan.spec.egress import Policy, is_public
from sampan.wire import dns

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.11"
BATCH = 64
TCP_PATIENCE = 10.0  # seconds for a client that says nothing
MAX_CLIENTS = 64  # TCP connections of one container
MAX_ASKED = upstream.MAX_ASKED // 2  # of one container's questions at a time: one is not all
TABLE = "sampan_names"

Reply = Callable[[bytes], None]


def rules(udp: int, tcp: int) -> str:
    lines = [
        f"ip daddr {ADDRESS} {protocol} dport 53 dnat to {ADDRESS}:{port}"
        for protocol, port in (("udp", udp), ("tcp", tcp))
    ]
    chain = "\n".join(["type nat hook output priority -100; policy accept;", *lines])
    return (
        f"add table ip {TABLE}\ndelete table ip {TABLE}\n"
        f"table ip {TABLE} {{\nchain output {{\n{chain}\n}}\n}}\n"
    )


class Servers:
    """One server a container."""

    def __init__(self, loop: Loop, names: Names, hosts: Neighbourhood, policies: Policies) -> None:
        self._loop = loop
        self._names = names
        self._hosts = hosts
        self._policies = policies
        self._upstream = upstream.Upstream(loop)
        self._kernel = LinuxKernel()
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._sockets: dict[str, tuple[socket.socket, socket.socket]] = {}
        self._clients: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()

    def serve(self, owner: str, netns_fd: int) -> None:
        """Sockets and the rule in the namespace. All or nothing. Raises OSError."""
        self.stop(owner)
        self._kernel.setns(netns_fd, CLONE_NEWNET)
        try:
            udp, tcp = _open_sockets()
            try:
                nft = open_nft()
                try:
                    nft.run(rules(udp.getsockname()[1], tcp.getsockname()[1]))
                finally:
                    nft.close()
            except BaseException:
                udp.close()
                tcp.close()
                raise
        finally:
            self._kernel.setns(self._home, CLONE_NEWNET)
        self._sockets[owner] = (udp, tcp)
        self._loop.watch(udp.fileno(), partial(self._on_datagram, owner, udp))
        self._loop.watch(tcp.fileno(), partial(self._on_connection, owner, tcp))

    def serves(self, owner: str) -> bool:
        return owner in self._sockets

    def stop(self, owner: str) -> None:
        for sock in self._sockets.pop(owner, ()):
            self._loop.forget(sock.fileno())
            sock.close()

    def _on_datagram(self, owner: str, sock: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data, client = sock.recvfrom(4096)
            except OSError:
                return
            self.handle(owner, data, partial(_send, sock, client), tcp=False)

    def _on_connection(self, owner: str, sock: socket.socket) -> None:
        try:
            client, _ = sock.accept()
        except OSError:
            return
        if self._clients[owner] >= MAX_CLIENTS:
            client.close()
            return
        self._clients[owner] += 1
        Stream(
            self._loop, client, partial(self.handle, owner, tcp=True), partial(self._left, owner)
        )

    def _left(self, owner: str) -> None:
        _count_down(self._clients, owner)

    def handle(self, owner: str, data: bytes, reply: Reply, *, tcp: bool) -> None:
        view = self._names.view(owner)
        if view is None:
            return
        try:
            query = dns.parse_query(data)
        except ProtocolError:
            with suppress(ProtocolError):
                reply(dns.build_failure(data, dns.FORMERR))
            return
        records = self._names.answer(owner, query)
        limit = 65535 if tcp else query.size

        def answer(known: list[tuple[int, bytes]] | None, ttl: int) -> None:
            if known is not None:
                reply(dns.build_answer(query, known, ttl=ttl, limit=limit))
            else:
                self._ask(owner, view, data, query, reply, tcp=tcp)

        if self._hosts.concerns(view, query):
            # Whoever leaves another host does not tell: what is known of it is asked each time.
            self._hosts.ask(view, query, lambda others: answer(merged(records, others), 0))
        else:
            answer(records, TTL)

    def _ask(
        self, owner: str, view: View, data: bytes, query: dns.Query, reply: Reply, *, tcp: bool
    ) -> None:
        policy = self._policies.policy(owner)

        def answered(answer: bytes | None) -> None:
            _count_down(self._asked, owner)
            if answer is None:
                reply(dns.build_answer(query, code=dns.SERVFAIL))
            elif policy is None or self._opens(owner, policy, query, answer):
                reply(answer)
            else:
                reply(dns.build_answer(query, code=dns.REFUSED))

        if not view.external:
            # Not even a question leaves an internal network (CVE-2024-29018).
            reply(dns.build_answer(query, code=dns.NXDOMAIN))
            return
        if policy is not None and policy.ports_of(query.name) is None:
            self._policies.refused_name(owner, query.name, "not in the list")
            reply(dns.build_answer(query, code=dns.REFUSED))
            return
        if self._asked[owner] >= MAX_ASKED:
            reply(dns.build_answer(query, code=dns.SERVFAIL))
            return
        self._asked[owner] += 1
        self._upstream.ask(data, query, view.servers, answered, tcp=tcp)

    def _opens(self, owner: str, policy: Policy, query: dns.Query, answer: bytes) -> bool:
        """Whether the container may have this answer; then it may reach what it says."""
        ports = policy.ports_of(query.name)
        if ports is None or self._policies.policy(owner) != policy:
            return False  # it ended, or got another one, meanwhile
        try:
            found = dns.addresses_in(answer, query.name)
        except ProtocolError:
            return False
        closed = [address for address, _ in found if not policy.opens(address)]
        if closed:  # rebinding: a name of outside that leads inside
            self._policies.refused_name(owner, query.name, f"leads to {closed[0]}")
            return False
        try:
            public = [(address, ttl) for address, ttl in found if is_public(address)]
            if not self._policies.open_for(owner, ports, public):
                self._policies.refused_name(owner, query.name, "too many addresses are open")
                return False
            return True
        except OSError:
            log.exception("what %s leads to could not be opened", query.name)
            return False


class Stream:
    """A TCP client: length, message, length, message …"""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        handle: Callable[[bytes, Reply], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop, self._sock, self._handle, self._on_end = loop, sock, handle, on_end
        self._received = b""
        self._closed = False
        sock.setblocking(False)
        loop.watch(sock.fileno(), self._on_readable)
        loop.after(TCP_PATIENCE, self.close)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._on_end()

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        while not self._closed and len(self._received) >= 2:
            length = int.from_bytes(self._received[:2], "big")
            if len(self._received) < 2 + length:
                return
            message = self._received[2 : 2 + length]
            self._received = self._received[2 + length :]
            self._handle(message, self._reply)

    def _reply(self, answer: bytes) -> None:
        if self._closed:
            return
        try:
            # An answer fits the empty buffer of a socket; a client that does not read is let go.
            sent = self._sock.send(len(answer).to_bytes(2, "big") + answer)
        except OSError:
            sent = 0
        if sent != len(answer) + 2:
            self.close()


def _count_down(counts: Counter[str], owner: str) -> None:
    counts[owner] -= 1
    if not counts[owner]:
        del counts[owner]


def _open_sockets() -> tuple[socket.socket, socket.socket]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        udp.bind((ADDRESS, 0))
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            tcp.bind((ADDRESS, 0))
            tcp.listen(64)
        except BaseException:
            tcp.close()
            raise
    except BaseException:
        udp.close()
        raise
    return udp, tcp


def _send(sock: socket.socket, client: tuple[object, ...], answer: bytes) -> None:
    with suppress(OSError):  # the container has ended, or does not read
        sock.sendto(answer, client)
