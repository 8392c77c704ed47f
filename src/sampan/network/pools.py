"""Which subnet a network gets and which address a container gets. Pure.

Subnets: the first of the pools that overlaps nothing of the host. Addresses: the lowest free one, as
dockerd does, so that a freed address is the next to be given. MAC addresses are made of the address
(02:42 and its four octets), so that a reused address never meets a stale neighbour entry.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

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


def mac_of(address: IPv4Address) -> str:
    return (b"\x02\x42" + address.packed).hex(":")


class AddressPool:
    """The addresses of one subnet. `allocation` is the part of it that `allocate` draws from."""

    def __init__(
        self,
        subnet: IPv4Network,
        *,
        gateway: IPv4Address,
        allocation: IPv4Network | None = None,
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
            int(subnet.broadcast_address),
            int(gateway),
        }
        self._taken: set[int] = set()

    def allocate(self) -> IPv4Address:
        """The lowest free address. Raises AddressesExhausted."""
        number = self._lowest
        while number in self._taken or number in self._reserved:
            number += 1
        if number > self._last:
            raise AddressesExhausted(
                f"no available IPv4 addresses on this network's address pools: {self._label}"
            )
        self._taken.add(number)
        self._lowest = number + 1
        return IPv4Address(number)

    def take(self, address: IPv4Address) -> None:
        """Reserve this one. Raises Conflict when it is taken, InvalidParameter when not ours."""
        number = int(address)
        if address not in self.subnet or number in self._reserved:
            raise InvalidParameter(f"{address} is not an address for containers of {self.subnet}")
        if number in self._taken:
            raise Conflict("Address already in use")
        self._taken.add(number)

    def release(self, address: IPv4Address) -> None:
        """Nothing happens to an address that is free."""
        number = int(address)
        if number in self._taken:
            self._taken.discard(number)
            if number >= self._first:
                self._lowest = min(self._lowest, number)

    def taken(self) -> list[IPv4Address]:
        return [IPv4Address(number) for number in sorted(self._taken)]
