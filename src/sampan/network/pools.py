"""Which subnet a network gets and which address a container gets. Pure.

Subnets: the first of the pools that overlaps nothing of the host. Addresses: the lowest free one, as
dockerd does, so that a freed address is the next to be given. MAC addresses are made of the address
(02:42 and its four octets), so that a reused address never meets a stale neighbour entry.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from sampan.errors import Conflict, InvalidParameter, SampanError
from sampan.network.config import Pool

# Routes that short stand for "everywhere" (VPN clients set 0.0.0.0/1 and 128.0.0.0/1): each pool
# overlaps them, and a connected subnet is more specific than they are.
SHORTEST_SPECIFIC_ROUTE = 5


class PoolsExhausted(SampanError):
    pass


class AddressesExhausted(SampanError):
    pass


def choose_subnet(pools: Iterable[Pool], used: Iterable[IPv4Network]) -> IPv4Network:
    """Raises PoolsExhausted."""
    blocked = [network for network in used if network.prefixlen >= SHORTEST_SPECIFIC_ROUTE]
    for pool in pools:
        for subnet in pool.base.subnets(new_prefix=pool.size):
            if not any(subnet.overlaps(network) for network in blocked):
                return subnet
    raise PoolsExhausted("all predefined address pools have been fully subnetted")


def choose_subnet6(used: Iterable[IPv6Network]) -> IPv6Network:
    """A unique local /64 with a random global id (RFC 4193)."""
    blocked = list(used)
    while True:
        number = int.from_bytes(b"\xfd" + os.urandom(5) + bytes(10), "big")
        subnet = IPv6Network((number, 64))
        if not any(subnet.overlaps(network) for network in blocked):
            return subnet


def mac_of(address: IPv4Address | IPv6Address) -> str:
    return (b"\x02\x42" + address.packed[-4:]).hex(":")


class AddressPool:
    """The addresses of one subnet. `allocation` is the part of it that `allocate` draws from."""

    def __init__(
        self,
        subnet: IPv4Network | IPv6Network,
        *,
        gateway: IPv4Address | IPv6Address,
        allocation: IPv4Network | IPv6Network | None = None,
        reserved: Iterable[IPv4Address | IPv6Address] = (),
        label: str = "",
    ) -> None:
        part = allocation or subnet
        self.subnet = subnet
        self._label = label
        self._first = int(part.network_address)
        self._last = int(part.broadcast_address)
        self._lowest = self._first  # nothing below it is free
        self._reserved = {
            int(subnet.network_address),
            int(gateway),
            *(int(address) for address in reserved if address.version == subnet.version),
        }
        if subnet.version == 4:
            self._reserved.add(int(subnet.broadcast_address))
        self._taken: set[int] = set()

    def allocate(self) -> IPv4Address | IPv6Address:
        """The lowest free address. Raises AddressesExhausted."""
        number = self._lowest
        while number in self._taken or number in self._reserved:
            number += 1
        if number > self._last:
            raise AddressesExhausted(
                f"no available IPv{self.subnet.version} addresses on this network's address pools: "
                f"{self._label}"
            )
        self._taken.add(number)
        self._lowest = number + 1
        return type(self.subnet.network_address)(number)

    def take(self, address: IPv4Address | IPv6Address) -> None:
        """Reserve this one. Raises Conflict when it is taken, InvalidParameter when not ours."""
        number = int(address)
        if address not in self.subnet or number in self._reserved:
            raise InvalidParameter(f"{address} is not an address for containers of {self.subnet}")
        if number in self._taken:
            raise Conflict("Address already in use")
        self._taken.add(number)

    def release(self, address: IPv4Address | IPv6Address) -> None:
        """Nothing happens to an address that is free."""
        number = int(address)
        if number in self._taken and address.version == self.subnet.version:
            self._taken.discard(number)
            if number >= self._first:
                self._lowest = min(self._lowest, number)

    def taken(self) -> list[IPv4Address | IPv6Address]:
        kind = type(self.subnet.network_address)
        return [kind(number) for number in sorted(self._taken)]
