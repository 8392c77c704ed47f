"""Published ports: held by the warden, forwarded by the firewall, and flows that they would not reach forgotten."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from sampan.linux import conntrack
from sampan.network.firewall import Forward
from sampan.network.warden.holds import Held, Wanted


def forwards(
    held: Sequence[Held], addresses: Sequence[IPv4Address | IPv6Address]
) -> Iterator[Forward]:
    """What the firewall can forward: a port of the host to an address of the same family. The rest
    is relayed."""
    targets = {address.version: address for address in reversed(addresses)}
    for item in held:
        address = ip_address(item.address)
        target = targets.get(address.version)
        if target is not None:
            yield Forward(
                protocol=item.protocol,
                address=address,
                host_port=item.host_port,
                target=target,
                target_port=item.container_port,
                count=item.count,
            )


def the_same(held: Sequence[Held]) -> list[Wanted]:
    """Wishes that give these ports again, and no others."""
    return [
        Wanted(
            protocol=item.protocol,
            container_port=item.container_port,
            addresses=(item.address,),
            first=item.host_port,
            last=item.host_port,
            count=item.count,
        )
        for item in held
    ]


def forget_udp(held: Sequence[Held], addresses: Sequence[IPv4Address | IPv6Address]) -> None:
    """Flows to these ports that began before the port was published, or that go to a container that
    had it. Blocking."""
    ranges = [
        (item.host_port, item.host_port + item.count) for item in held if item.protocol == "udp"
    ]
    if not ranges:
        return
    targets = {address.packed for address in addresses}

    def stale(flow: conntrack.Flow) -> bool:
        return (
            flow.protocol == socket.IPPROTO_UDP
            and any(first <= flow.port < end for first, end in ranges)
            and (flow.answers not in targets or flow.destination in targets)
        )

    conntrack.forget_flows(stale)
