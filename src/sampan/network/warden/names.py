"""What containers are called in their networks, and what a container may ask. No sockets.

A container finds its neighbours by name, alias, the beginning of their ids and hostname, with or without the
network's name behind it. Several of one name are several answers, in a new order each time.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from sampan.wire import dns

TTL = 600  # seconds, as Docker's

IPAddress = IPv4Address | IPv6Address


@dataclass(slots=True)
class Place:
    """A container in one network; the first of `names` is what its address is called."""

    network: str  # its id
    domain: str  # its name
    names: tuple[str, ...]
    addresses: tuple[IPAddress, ...]


@dataclass(slots=True)
class View:
    """What one container sees. `links`: other names for neighbours, for it alone. `servers`: who is asked
    about the rest, empty for the host's; not `external`: nobody is."""

    places: list[Place] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    servers: tuple[str, ...] = ()
    external: bool = True


class Names:
    """`known` of every network, by name and by address."""

    def __init__(self) -> None:
        self._views: dict[str, View] = {}
        self._named: dict[tuple[str, str], dict[str, tuple[IPAddress, ...]]] = {}
        self._addresses: dict[tuple[str, IPAddress], str] = {}

    @property
    def owners(self) -> list[str]:
        return list(self._views)

    def view(self, owner: str) -> View | None:
        return self._views.get(owner)

    def put(self, owner: str, view: View) -> None:
        """Instead of what was known of it."""
        self.drop(owner)
        self._views[owner] = view
        for place in view.places:
            for name in place.names:
                key = (place.network, name.lower())
                self._named.setdefault(key, {})[owner] = place.addresses
            for address in place.addresses:
                self._addresses[place.network, address] = f"{place.names[0]}.{place.domain}"

    def drop(self, owner: str) -> None:
        view = self._views.pop(owner, None)
        for place in view.places if view else ():
            for name in place.names:
                key = (place.network, name.lower())
                owners = self._named.get(key, {})
                owners.pop(owner, None)
                if not owners:
                    self._named.pop(key, None)
            for address in place.addresses:
                self._addresses.pop((place.network, address), None)

    def answer(self, owner: str, query: dns.Query) -> list[tuple[int, bytes]] | None:
        """Records for the question, [] for a name that has none of this kind; None: not ours to say."""
        view = self._views.get(owner)
        if view is None or query.klass != dns.IN:
            return None
        if query.kind == dns.PTR:
            return self._reverse([place.network for place in view.places], query.name)
        found = self._find(view, query.name)
        if found is None:
            return None
        # A neighbour has no other records, and nobody else may say that it has.
        return _records(found, query.kind)

    def neighbours(self, network: str, name: str, kind: int) -> list[tuple[int, bytes]] | None:
        """What is known of one network's containers, without what any of them calls others; as `answer`."""
        if kind == dns.PTR:
            return self._reverse([network], name)
        owners = self._named.get((network, name))
        if not owners:
            return None
        return _records([item for each in owners.values() for item in each], kind)

    def _find(self, view: View, name: str) -> list[IPAddress] | None:
        name = view.links.get(name, name)
        for place in view.places:
            domain = f".{place.domain.lower()}"
            for wanted in (name, name.removesuffix(domain)):
                owners = self._named.get((place.network, wanted))
                if owners:
                    return [address for addresses in owners.values() for address in addresses]
        return None

    def _reverse(self, networks: Iterable[str], name: str) -> list[tuple[int, bytes]] | None:
        address = dns.reversed_address(name)
        if address is None:
            return None
        for network in networks:
            full = self._addresses.get((network, address))
            if full:
                return [(dns.PTR, dns.encode_name(full))]
        return None


def _records(addresses: Iterable[IPAddress], kind: int) -> list[tuple[int, bytes]]:
    """In a new order each time."""
    records = [dns.address_record(address) for address in addresses]
    records = [item for item in records if kind in (item[0], dns.ANY)]
    random.shuffle(records)
    return records


def view_from_message(message: dict[str, Any]) -> View:
    return View(
        places=[
            Place(
                str(item["network"]),
                str(item["domain"]),
                tuple(item["names"]),
                tuple(_addresses(item["addresses"])),
            )
            for item in message["places"]
        ],
        links={str(k).lower(): str(v).lower() for k, v in message["links"].items()},
        servers=tuple(message["servers"]),
        external=bool(message["external"]),
    )


def _addresses(texts: Iterable[str]) -> list[IPAddress]:
    return [ip_address(text) for text in texts]
