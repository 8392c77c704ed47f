"""Threats of networks (docs/SECURITY.md), each with its control: the same check without the one defence."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from ipaddress import IPv4Interface

import pytest

from sampan.linux import sysctl
from sampan.linux.netlink import Rtnl
from sampan.linux.nft import CommandNft
from sampan.network import table
from sampan.network.config import BridgeConfig
from sampan.network.networks import Networks
from tests.kernel.test_network import CONFIG, container, outside, route_to, running
from tests.netns import connect_tcp, listen_tcp, ping, private_netns, run_in, wait_for

BOTH = pytest.mark.parametrize("naive", [False, True], ids=["ours", "naive"])


@pytest.fixture(autouse=True)
def home() -> Iterator[int]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with private_netns() as fd:
        yield fd


def without_rules(patch: pytest.MonkeyPatch) -> None:
    """What is forwarded is looked at by nobody, and nobody heals that."""
    patch.setattr(Networks, "_on_rules", lambda self, damaged: None)
    CommandNft().run("flush chain inet sampan forward")


def announce_router() -> None:
    """To all hosts of the link, as a router with a life of half an hour (RFC 4861, section 4.2)."""
    for link, name in (("all", "accept_dad"), ("eth0", "accept_dad"), ("eth0", "disable_ipv6")):
        sysctl.write("0", "net", "ipv6", "conf", link, name)
    with Rtnl() as rtnl:
        index = rtnl.link("eth0").index
        wait_for(lambda: any(a.address.is_link_local for a in rtnl.addresses(index)))
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        advertisement = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)

        def sent() -> bool:
            with suppress(OSError):  # EADDRNOTAVAIL: the address is not ready yet
                return sock.sendto(advertisement, ("ff02::1", 0, 0, index)) > 0
            return False

        wait_for(sent)


def default_routes() -> list[int]:
    with Rtnl() as rtnl:
        return [route.index for route in rtnl.routes(socket.AF_INET6) if route.destination is None]


@BOTH
async def test_a_containers_announcement_changes_no_route(naive: bool) -> None:
    """W2: a router that a container claims to be is believed by nobody; on a bridge as the kernel makes it, it is."""
    async with running() as bridge, container(bridge) as (fd, _):
        if naive:
            conf = ("net", "ipv6", "conf", "sampan0")
            for name, value in (("forwarding", "0"), ("accept_ra", "1"), ("disable_ipv6", "0")):
                sysctl.write(value, *conf, name)
        for _ in range(100 if naive else 10):  # announcements
            await asyncio.to_thread(run_in, fd, announce_router)
            if default_routes():
                break
            await asyncio.sleep(0.05)
        assert bool(default_routes()) is naive


@BOTH
async def test_a_neighbour_gets_nowhere(naive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """W3: from a host with a route to the bridge to a port that is not published; also after somebody flushed all
    rules, at once. Without our chain it gets there."""
    with outside() as wan:
        async with running() as bridge, container(bridge) as (fd, endpoint):
            route_to(wan, "172.17.0.0/16")
            if naive:
                without_rules(monkeypatch)
                assert await asyncio.to_thread(ping, wan.fd, endpoint.address) is not None
                return
            assert await asyncio.to_thread(ping, wan.fd, endpoint.address, timeout=0.3) is None
            CommandNft().run("flush ruleset")
            with listen_tcp(fd) as server:
                port = server.getsockname()[1]

                def gets_in() -> (
                    bool
                ):  # by a new flow each time: those that began without rules go on
                    with suppress(OSError):
                        connect_tcp(wan.fd, (endpoint.address, port), timeout=0.3).close()
                        return True
                    return False

                async with asyncio.timeout(5):
                    while await asyncio.to_thread(gets_in):
                        pass
            assert await asyncio.to_thread(ping, fd, wan.address) is not None


@BOTH
async def test_three_networks_of_four(naive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """W4: each container reaches those of its own network and no other; without our chain it reaches all."""
    networks = await Networks.start(CONFIG)
    try:
        async with AsyncExitStack() as stack:
            places: list[tuple[int, int, str]] = []
            for number in range(3):
                config = BridgeConfig(
                    network_id=f"{number:064x}",
                    name=f"n{number}",
                    bridge=f"br-n{number}",
                    gateway=IPv4Interface(f"10.20.{number}.1/24"),
                )
                bridge = await networks.add_bridge(config)
                for _ in range(4):
                    fd, endpoint = await stack.enter_async_context(container(bridge))
                    places.append((number, fd, endpoint.address))
            if naive:
                without_rules(monkeypatch)

            def wrong_from(place: tuple[int, int, str]) -> list[tuple[str, str]]:
                """One after the other: a raw socket hears whatever answers come to its namespace."""
                number, fd, address = place
                found = []
                for other, _, target in places:
                    expected = naive or other == number
                    timeout = 2.0 if expected else 0.2
                    if (
                        target != address
                        and (ping(fd, target, timeout=timeout) is not None) != expected
                    ):
                        found.append((address, target))
                return found

            with ThreadPoolExecutor(12) as pool:
                jobs = [asyncio.wrap_future(pool.submit(wrong_from, place)) for place in places]
                wrong = [each for found in await asyncio.gather(*jobs) for each in found]
        assert wrong == []
    finally:
        await networks.stop(remove=True)


@BOTH
async def test_foreign_rules(naive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """W5: another's table is the same through our start, containers and end; an engine that makes room by
    flushing all rules is found out."""
    CommandNft().run(
        "table ip filter {\nchain FORWARD {\ntype filter hook forward priority 0;\n}\n}\n"
    )
    before = CommandNft().run("list table ip filter")
    if naive:
        real = table.firewall.whole
        monkeypatch.setattr(
            table.firewall, "whole", lambda *a, **k: "flush ruleset\n" + real(*a, **k)
        )
    async with running() as bridge, container(bridge):
        there = CommandNft().run("list ruleset")
    assert (before in there) is not naive
