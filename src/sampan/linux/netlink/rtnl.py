"""A blocking rtnetlink socket: one request, its answer, the next request.

Every method takes a few tens of microseconds but waits for the kernel's rtnl lock, which others may
hold for longer: call it from a worker thread. Failures are `OSError(errno, text, subject)`, the
text with what the kernel explained (extended acknowledgement). The socket stays in the network
namespace of the thread that opened it.
"""

from __future__ import annotations

import errno
import os
import socket
from types import TracebackType
from typing import Self, TypeVar

from sampan.linux.netlink import messages
from sampan.linux.netlink.codec import (
    NLM_F_DUMP_INTR,
    NLM_F_MULTI,
    NLMSG_DONE,
    NLMSG_ERROR,
    Failure,
    Message,
    decode_failure,
    decode_messages,
    encode_message,
)
from sampan.linux.netlink.messages import Address, IPAddress, IPNetwork, Link, Request, Route
from sampan.spec.typing import Callable

NETLINK_ROUTE = 0
SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
RECEIVE = 65536
DUMP_ATTEMPTS = 16

T = TypeVar("T")


class Rtnl:
    """A socket in the calling thread's network namespace. Close it, or use it in a `with`."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE
        )
        self._sequence = 0
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    # Links

    def add_bridge(self, name: str, *, mac: str | None = None, mtu: int | None = None) -> None:
        self._do(messages.add_bridge(name, mac=mac, mtu=mtu), name)

    def add_veth(
        self,
        name: str,
        *,
        peer_name: str,
        peer_netns_fd: int | None = None,
        mac: str | None = None,
        peer_mac: str | None = None,
        mtu: int | None = None,
        master: int | None = None,
    ) -> None:
        request = messages.add_veth(
            name,
            peer_name=peer_name,
            peer_netns_fd=peer_netns_fd,
            mac=mac,
            peer_mac=peer_mac,
            mtu=mtu,
            master=master,
        )
        self._do(request, name)

    def add_vxlan(self, name: str, *, vni: int, port: int, local: IPAddress, mtu: int) -> None:
        self._do(messages.add_vxlan(name, vni=vni, port=port, local=local, mtu=mtu), name)

    def add_macvlan(
        self, name: str, *, parent: int, mode: str, netns_fd: int, mac: str | None = None
    ) -> None:
        request = messages.add_macvlan(name, parent=parent, mode=mode, netns_fd=netns_fd, mac=mac)
        self._do(request, name)

    def add_ipvlan(self, name: str, *, parent: int, mode: str, flag: str, netns_fd: int) -> None:
        request = messages.add_ipvlan(name, parent=parent, mode=mode, flag=flag, netns_fd=netns_fd)
        self._do(request, name)

    def add_vlan(self, name: str, *, parent: int, vlan: int) -> None:
        self._do(messages.add_vlan(name, parent=parent, vlan=vlan), name)

    def add_dummy(self, name: str) -> None:
        self._do(messages.add_dummy(name), name)

    def supports(self, kind: str) -> bool:
        """Whether the kernel has links of this kind, that need a parent. Changes nothing."""
        try:
            self._do(messages.probe_kind(kind), kind)
        except OSError as error:
            return error.errno != errno.EOPNOTSUPP
        raise AssertionError(f"a {kind} without a parent was made")

    def add_flood(self, index: int, target: IPAddress) -> None:
        """Of a VXLAN link. What is there already is left as it is."""
        self._do(messages.flood(index, target), f"link {index}")

    def remove_flood(self, index: int, target: IPAddress) -> None:
        """What is not there is no error."""
        self._do(messages.flood(index, target, remove=True), f"link {index}")

    def floods(self, index: int) -> list[IPAddress]:
        """Where a VXLAN link sends what is for everybody."""
        found = self._dump(
            messages.get_forwarding(index), messages.RTM_NEWNEIGH, messages.decode_flood
        )
        return [item[1] for item in found if item and item[0] == index]

    def set_link(
        self,
        index: int,
        *,
        up: bool | None = None,
        name: str | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        master: int | None = None,
        alias: str | None = None,
        netns_fd: int | None = None,
    ) -> None:
        """Change what is not None. `master=0` takes the link out of its bridge."""
        request = messages.set_link(
            index,
            up=up,
            name=name,
            mac=mac,
            mtu=mtu,
            master=master,
            alias=alias,
            netns_fd=netns_fd,
        )
        self._do(request, name or f"link {index}")

    def isolate_port(self, index: int) -> None:
        self._do(messages.isolate_port(index), f"link {index}")

    def reflect_port(self, index: int) -> None:
        self._do(messages.reflect_port(index), f"link {index}")

    def delete_link(self, index: int) -> None:
        """A veth takes its other end along."""
        self._do(messages.delete_link(index), f"link {index}")

    def link(self, link: int | str) -> Link:
        """By index or name. Raises OSError(ENODEV)."""
        subject = link if isinstance(link, str) else f"link {link}"
        for message in self._exchange(messages.get_link(link), subject):
            if message.kind == messages.RTM_NEWLINK:
                return messages.decode_link(message)
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), subject)

    def links(self) -> list[Link]:
        return self._dump(messages.get_links(), messages.RTM_NEWLINK, messages.decode_link)

    # Addresses

    def add_address(self, index: int, address: IPAddress, prefix: int) -> None:
        """Raises OSError(EEXIST) when the link has it already."""
        self._do(messages.add_address(index, address, prefix), f"{address}/{prefix}")

    def delete_address(self, index: int, address: IPAddress, prefix: int) -> None:
        self._do(messages.delete_address(index, address, prefix), f"{address}/{prefix}")

    def addresses(self, index: int | None = None) -> list[Address]:
        """Of one link, or of all."""
        found = self._dump(messages.get_addresses(), messages.RTM_NEWADDR, messages.decode_address)
        return [item for item in found if item and index in (None, item.index)]

    # Routes

    def add_route(
        self,
        destination: IPNetwork | None,
        *,
        gateway: IPAddress | None = None,
        index: int | None = None,
        replace: bool = False,
    ) -> None:
        """Into the main table; `destination` None is the default route."""
        request = messages.add_route(destination, gateway=gateway, index=index, replace=replace)
        self._do(request, f"route {destination or 'default'}")

    def delete_route(
        self,
        destination: IPNetwork | None,
        *,
        gateway: IPAddress | None = None,
        index: int | None = None,
    ) -> None:
        request = messages.delete_route(destination, gateway=gateway, index=index)
        self._do(request, f"route {destination or 'default'}")

    def routes(self, family: int = socket.AF_UNSPEC) -> list[Route]:
        """Of all tables, the local one too."""
        found = self._dump(
            messages.get_routes(family), messages.RTM_NEWROUTE, messages.decode_route
        )
        return [item for item in found if item]

    # Exchange

    def _do(self, request: Request, subject: str) -> None:
        self._exchange(request, subject)

    def _dump(self, request: Request, kind: int, decode: Callable[[Message], T]) -> list[T]:
        """All answers of one dump; begun again when the kernel says that it changed meanwhile."""
        for _ in range(DUMP_ATTEMPTS):
            answers = self._exchange(request, "dump")
            if not any(message.flags & NLM_F_DUMP_INTR for message in answers):
                return [decode(message) for message in answers if message.kind == kind]
        raise OSError(errno.EAGAIN, "netlink dump kept changing while it was read")

    def _exchange(self, request: Request, subject: str) -> list[Message]:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._socket.send(encode_message(request.kind, request.flags, self._sequence, request.body))
        answers: list[Message] = []
        while True:
            data, _, flags, _ = self._socket.recvmsg(RECEIVE)
            if flags & socket.MSG_TRUNC:
                raise OSError(errno.EMSGSIZE, "netlink answer was truncated", subject)
            for message in decode_messages(data):
                if message.sequence != self._sequence:
                    continue  # the rest of an exchange that an exception cut short
                if message.kind in (NLMSG_ERROR, NLMSG_DONE):
                    _raise_for(decode_failure(message), subject)
                    return [*answers, message]
                answers.append(message)
                if not message.flags & NLM_F_MULTI:
                    return answers


def _raise_for(failure: Failure, subject: str) -> None:
    if failure.errno:
        text = os.strerror(failure.errno)
        raise OSError(failure.errno, f"{text}: {failure.text}" if failure.text else text, subject)
