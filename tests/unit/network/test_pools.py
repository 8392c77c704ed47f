"""Verifies which subnet a network gets and which address a container gets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import Conflict, InvalidParameter
from sampan.network.config import DEFAULT_POOLS, Pool
from sampan.network.pools import (
    AddressesExhausted,
    AddressPool,
    PoolsExhausted,
    choose_subnet,
    mac_of,
)

SUBNET = IPv4Network("172.30.99.0/24")
GATEWAY = IPv4Address("172.30.99.1")


def nets(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(text) for text in texts]


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([], "172.17.0.0/16"),
        (["172.17.0.0/16"], "172.18.0.0/16"),
        (["172.17.5.0/24", "172.18.0.1/32"], "172.19.0.0/16"),
        (["172.16.0.0/12"], "192.168.0.0/20"),
        (["172.16.0.0/12", "192.168.1.0/24"], "192.168.16.0/20"),
        (["172.16.0.0/14", "172.20.0.0/16"], "172.21.0.0/16"),
        (["10.0.0.0/8"], "172.17.0.0/16"),
        (["0.0.0.0/1", "128.0.0.0/1"], "172.17.0.0/16"),
    ],
)
def test_the_first_free_of_the_default_pools(used: list[str], expected: str) -> None:
    """In Docker's order; routes that stand for everywhere do not count."""
    assert str(choose_subnet(DEFAULT_POOLS, nets(*used))) == expected


def test_pools_that_are_used_up() -> None:
    """Docker's words."""
    pools = (Pool(IPv4Network("10.9.0.0/23"), 24),)
    with pytest.raises(PoolsExhausted, match="all predefined address pools have been fully subne"):
        choose_subnet(pools, nets("10.9.0.0/24", "10.9.1.128/25"))


def pool(subnet: IPv4Network = SUBNET, allocation: str | None = None) -> AddressPool:
    part = IPv4Network(allocation) if allocation else None
    first = IPv4Address(int(subnet.network_address) + 1)
    return AddressPool(subnet, gateway=first, allocation=part, label="bridge (ID)")


def test_the_lowest_free_address_is_next() -> None:
    """As dockerd: 2, 3, 4; when 2 is given back it is the next, then 5."""
    addresses = pool()
    assert [str(addresses.allocate())[-2:] for _ in range(3)] == [".2", ".3", ".4"]
    addresses.release(IPv4Address("172.30.99.2"))
    assert [str(addresses.allocate())[-2:] for _ in range(2)] == [".2", ".5"]


def test_a_part_of_the_subnet() -> None:
    """`--fixed-cidr`: its first address is given too, and its last; those outside may be asked for."""
    addresses = pool(allocation="172.30.99.64/30")
    assert [str(addresses.allocate()) for _ in range(4)] == [
        f"172.30.99.{n}" for n in range(64, 68)
    ]
    with pytest.raises(AddressesExhausted, match=r"address pools: bridge \(ID\)"):
        addresses.allocate()
    addresses.take(IPv4Address("172.30.99.9"))
    addresses.release(IPv4Address("172.30.99.9"))
    with pytest.raises(AddressesExhausted):
        addresses.allocate()


@pytest.mark.parametrize("last_octet", [0, 1, 255])
def test_addresses_that_are_not_for_containers(last_octet: int) -> None:
    """The network's own, the gateway's, the broadcast address, and those of elsewhere."""
    with pytest.raises(InvalidParameter):
        pool().take(IPv4Address(f"172.30.99.{last_octet}"))
    with pytest.raises(InvalidParameter):
        pool().take(IPv4Address(f"172.30.98.{last_octet}"))


def test_an_address_is_taken_once() -> None:
    """A restored one is not given out either."""
    addresses = pool()
    addresses.take(IPv4Address("172.30.99.2"))
    with pytest.raises(Conflict, match="Address already in use"):
        addresses.take(IPv4Address("172.30.99.2"))
    assert str(addresses.allocate()) == "172.30.99.3"


@given(st.lists(st.one_of(st.just(None), st.integers(0, 12)), max_size=60))
def test_against_a_plain_model(actions: list[int | None]) -> None:
    """None allocates, a number releases: the same as the lowest of a set, to the last address."""
    addresses = pool(IPv4Network("10.0.0.0/28"))
    free, taken = set(range(2, 15)), set()
    for action in actions:
        if action is None and free:
            lowest = min(free)
            assert int(addresses.allocate()) & 0xFF == lowest
            free.discard(lowest)
            taken.add(lowest)
        elif action is None:
            with pytest.raises(AddressesExhausted):
                addresses.allocate()
        else:
            addresses.release(IPv4Address(f"10.0.0.{action + 2}"))
            if action + 2 in taken:
                taken.discard(action + 2)
                free.add(action + 2)
    assert [int(address) & 0xFF for address in addresses.taken()] == sorted(taken)


def test_mac_of_an_address() -> None:
    """As dockerd's."""
    assert mac_of(IPv4Address("172.30.99.2")) == "02:42:ac:1e:63:02"
