"""The addresses of one network's containers: an IPv4 pool, an IPv6 pool, or both. On the loop, never awaited."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)

from sampan.network.pools import AddressPool

IPAddress = IPv4Address | IPv6Address


class AddressBook:
    def __init__(
        self,
        gateways: Iterable[IPv4Interface | IPv6Interface | None],
        ranges: Iterable[IPv4Network | IPv6Network | None],
        *,
        reserved: Iterable[IPAddress] = (),
        label: str = "",
    ) -> None:
        """`gateways` say the subnets; `ranges`: the parts of them that are given from."""
        parts = {part.version: part for part in ranges if part is not None}
        kept = tuple(reserved)
        self._pools = {
            gateway.version: AddressPool(
                gateway.network,
                gateway=gateway.ip,
                allocation=parts.get(gateway.version),
                reserved=kept,
                label=label,
            )
            for gateway in gateways
            if gateway is not None
        }

    def reserve(self, *wanted: str) -> dict[int, IPAddress]:
        """One address of each family that the network has, by version; those that are wanted, else free ones.

        All or nothing. Raises Conflict, InvalidParameter, AddressesExhausted."""
        named = {address.version: address for address in map(ip_address, filter(None, wanted))}
        got: dict[int, IPAddress] = {}
        try:
            for version, pool in self._pools.items():
                address = named.get(version)
                if address is None:
                    got[version] = pool.allocate()
                else:
                    pool.take(address)
                    got[version] = address
        except BaseException:
            self.release(got.values())
            raise
        return got

    def take(self, addresses: Iterable[IPAddress]) -> None:
        """Those of a container that runs. One outside the present subnets (the configuration changed) is
        kept until it is released. Raises Conflict."""
        for address in addresses:
            pool = self._pools.get(address.version)
            if pool is not None and address in pool.subnet:
                pool.take(address)

    def release(self, addresses: Iterable[IPAddress]) -> None:
        for address in addresses:
            pool = self._pools.get(address.version)
            if pool is not None and address in pool.subnet:
                pool.release(address)
