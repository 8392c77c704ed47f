"""Verifies the default network on a real kernel, in network namespaces of the tests' own.

As root only. A module-wide namespace stands for the host, further ones for neighbours and the outside.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest

from sampan.errors import Conflict, InvalidParameter, SampanError
from sampan.linux import sysctl
from sampan.linux.netlink import Rtnl
from sampan.linux.nft import CommandNft, LibraryNft, Nft, NftError
from sampan.network import bridge as bridge_module
from sampan.network import forwarding
from sampan.network.bridge import Bridge
from sampan.network.config import NetworkConfig
from sampan.network.endpoint import Endpoint
from sampan.network.host import KernelSwitches
from sampan.network.networks import Networks
from tests.netns import (
    Neighbour,
    add_neighbour,
    connect_tcp,
    listen_tcp,
    ping,
    private_netns,
    run_in,
    wait_for,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

CONFIG = NetworkConfig(ready=2)


@pytest.fixture(autouse=True)
def home() -> Iterator[int]:
    """The host of one test."""
    with private_netns() as fd:
        yield fd


OWNERS: WeakKeyDictionary[Bridge, Networks] = WeakKeyDictionary()


async def reconcile(bridge: Bridge) -> list[str]:
    """Of the bridge and all that goes with it."""
    return await OWNERS[bridge].reconcile()


@asynccontextmanager
async def running(config: NetworkConfig = CONFIG) -> AsyncIterator[Bridge]:
    networks = await Networks.start(config)
    try:
        assert networks.default is not None
        OWNERS[networks.default] = networks
        yield networks.default
    finally:
        await networks.stop(remove=True)


@contextmanager
def outside(uplink: str = "wan", subnet: str = "198.51.100.0") -> Iterator[Neighbour]:
    neighbour = add_neighbour(uplink, subnet=subnet)
    try:
        yield neighbour
    finally:
        neighbour.close()


@asynccontextmanager
async def container(bridge: Bridge, name: str = "") -> AsyncIterator[tuple[int, Endpoint]]:
    fd = await bridge.create_namespace()
    try:
        endpoint = await bridge.plug(name or os.urandom(32).hex(), fd)
        yield fd, endpoint
        await bridge.release(endpoint)
    finally:
        os.close(fd)


def snapshot() -> tuple[object, ...]:
    """Everything of the host that sampan may touch."""
    with Rtnl() as rtnl:
        links = sorted((x.name, x.flags & 1, x.mtu, x.master, x.alias) for x in rtnl.links())
        addresses = sorted(
            (x.index, str(x.address), x.prefix)
            for x in rtnl.addresses()
            if not x.address.is_link_local
        )
        # Link-local addresses come when the kernel has made sure of them, a second after their link.
        routes = sorted(
            (str(x.destination), str(x.gateway), x.table)
            for x in rtnl.routes()
            if not str(x.destination).startswith("fe80:")
        )
    switches = {x[0]: forwarding.state_of(KernelSwitches(), str(x[0])) for x in links}
    return links, addresses, routes, switches, CommandNft().run("list ruleset")


def gone(before: tuple[object, ...]) -> None:
    """Namespaces, and the links that end in them, are taken down by the kernel in its own time."""
    wait_for(lambda: snapshot() == before)


def route_to(neighbour: Neighbour, network: str) -> None:
    """The neighbour sends this network's packets through us."""

    def body() -> None:
        gateway = IPv4Address(int(IPv4Address(neighbour.address)) - 1)
        with Rtnl() as rtnl:
            rtnl.add_route(IPv4Network(network), gateway=gateway, index=rtnl.link("wan0").index)

    run_in(neighbour.fd, body)


async def test_gateway_neighbour_and_outside() -> None:
    """A container reaches all three at once; outside it has the host's address."""
    before = snapshot()
    async with running() as bridge:
        with outside() as wan:
            async with container(bridge) as (one, first), container(bridge) as (two, second):
                assert (first.address, second.address) == ("172.17.0.2", "172.17.0.3")
                for target in ("172.17.0.1", second.address, wan.address):
                    await reconcile(bridge)  # the uplink came after the start
                    assert ping(one, target) is not None, target
                with listen_tcp(wan.fd) as server:
                    with connect_tcp(two, (wan.address, server.getsockname()[1])) as client:
                        seen, peer = server.accept()
                        seen.sendall(b"answer")
                        assert client.recv(16) == b"answer"
                        seen.close()
                    assert peer[0] == "198.51.100.1"
    gone(before)


async def test_outside_cannot_reach_in() -> None:
    """W3: a neighbour with a route to the bridge is refused; it reaches the host as before."""
    with outside() as wan:
        async with running() as bridge, container(bridge) as (fd, endpoint):
            route_to(wan, "172.17.0.0/16")
            assert ping(wan.fd, "198.51.100.1") is not None
            assert ping(wan.fd, endpoint.address, timeout=0.3) is None
            with listen_tcp(fd) as server, pytest.raises(OSError):
                connect_tcp(wan.fd, (endpoint.address, server.getsockname()[1]), timeout=0.3)
            assert ping(fd, wan.address) is not None


async def test_only_the_bridge_is_forwarded(tmp_path: Path) -> None:
    """The host does not become a router between its other networks, but for what somebody's own
    DNAT asks for; once the administrator makes it one, it is; at the end it is what it was."""
    config = replace(CONFIG, state_file=str(tmp_path / "network.json"))
    with outside("wan", "198.51.100.0") as wan, outside("lan", "203.0.113.0") as lan:
        route_to(wan, "203.0.113.0/24")
        route_to(lan, "198.51.100.0/24")
        before = snapshot()
        async with running(config) as bridge, container(bridge) as (fd, _):
            assert ping(fd, wan.address) is not None
            assert ping(fd, lan.address) is not None
            assert ping(wan.fd, lan.address, timeout=0.3) is None
            assert sysctl.read("net", "ipv4", "ip_forward") == "0"
            sysctl.write("1", "net", "ipv4", "ip_forward")
            await reconcile(bridge)
            assert ping(wan.fd, lan.address) is not None
            sysctl.write("0", "net", "ipv4", "ip_forward")
        gone(before)


async def test_an_uplink_that_comes_late() -> None:
    """An address that the host gets while the daemon runs is a way out at once, and no way for others; without
    the watch (the control) answers do not come in."""
    for watching in (False, True):
        config = CONFIG
        async with running(config) as bridge, container(bridge) as (fd, _):
            with pytest.MonkeyPatch.context() as patch:
                if not watching:
                    patch.setattr(Networks, "_look_at_uplinks", lambda self: asyncio.sleep(0))
                # Names of their own: the kernel takes down the earlier ones in its time.
                late, other = f"late{watching:d}", f"other{watching:d}"
                with outside(late, "198.51.100.0") as wan, outside(other, "203.0.113.0") as lan:
                    route_to(wan, "203.0.113.0/24")
                    route_to(lan, "198.51.100.0/24")

                    async def answers() -> bool:
                        return (
                            await asyncio.to_thread(ping, fd, wan.address, timeout=0.3) is not None
                        )

                    deadline = asyncio.get_running_loop().time() + (10 if watching else 1)
                    while not (found := await answers()):
                        if asyncio.get_running_loop().time() > deadline:
                            break
                    assert found is watching
                    assert ping(wan.fd, lan.address, timeout=0.3) is None


async def test_flags_that_forbid() -> None:
    """Without forwarding or masquerade nothing gets outside; the gateway always answers."""
    with outside() as wan:
        for config in (replace(CONFIG, ip_forward=False), replace(CONFIG, ip_masq=False)):
            async with running(config) as bridge, container(bridge) as (fd, _):
                assert ping(fd, "172.17.0.1") is not None
                assert ping(fd, wan.address, timeout=0.3) is None


async def test_no_ipv6_on_an_ipv4_network() -> None:
    """W2: neither the bridge nor a link has an IPv6 address or believes a router; loopback has ::1."""

    def states(*names: str) -> set[tuple[str, str]]:
        conf = ("net", "ipv6", "conf")
        return {
            (sysctl.read(*conf, n, "disable_ipv6"), sysctl.read(*conf, n, "accept_ra"))
            for n in names
        }

    def addresses() -> set[str]:
        with Rtnl() as rtnl:
            return {str(x.address) for x in rtnl.addresses() if x.address.version == 6}

    async with running() as bridge, container(bridge) as (fd, endpoint):
        assert states("sampan0", endpoint.host_interface) == {("1", "0")}
        assert addresses() == {"::1"}
        assert run_in(fd, lambda: states("eth0", "default")) == {("1", "0")}
        assert run_in(fd, addresses) == {"::1"}


async def test_the_first_packet_is_not_lost() -> None:
    """A port that does not forward yet costs the second that ARP waits: none does, ready or not."""
    async with running() as bridge:
        for number in range(12):
            async with container(bridge) as (fd, _):
                seconds = ping(fd, "172.17.0.1")
                assert seconds is not None
                assert seconds < 0.5, f"plug {number}"


async def test_a_bare_namespace() -> None:
    """It holds only loopback, up; plugged, the pair is made for it and named after the container."""

    def names() -> list[tuple[str, bool]]:
        with Rtnl() as rtnl:
            return [(link.name, link.up) for link in rtnl.links()]

    networks = await Networks.start(CONFIG)
    try:
        bridge = networks.default
        assert bridge is not None
        fd = await networks.create_namespace()
        assert run_in(fd, names) == [("lo", True)]
        endpoint = await bridge.plug("abcdef0123456789", fd, mac="02:00:00:00:00:07")
        assert endpoint.host_interface == f"svabcdef0{endpoint.endpoint_id[:4]}"
        assert ("eth0", True) in run_in(fd, names)
        assert ping(fd, "172.17.0.1") is not None
        with Rtnl() as rtnl:
            assert rtnl.link(endpoint.host_interface).alias == "sampan:sampan0:abcdef0123456789"
        os.close(fd)
        await bridge.release(endpoint)
    finally:
        await networks.stop(remove=True)


class FailingRtnl(Rtnl):
    """Fails the n-th request that changes something, on whichever socket."""

    left: int | None = None

    def _do(self, request: object, subject: str) -> None:
        if FailingRtnl.left is not None:
            if FailingRtnl.left == 0:
                FailingRtnl.left = None
                raise OSError(5, "injected", subject)
            FailingRtnl.left -= 1
        super()._do(request, subject)  # type: ignore[arg-type]


@pytest.mark.parametrize("ready", [True, False])
async def test_every_step_of_plug_fails_once(ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """No link, no address taken, and the next plug works; at least one failure a step was tried."""
    monkeypatch.setattr("sampan.network.host.Rtnl", FailingRtnl)
    monkeypatch.setattr("sampan.network.namespaces.Rtnl", FailingRtnl)
    networks = await Networks.start(replace(CONFIG, ready=0))
    try:
        bridge = networks.default
        assert bridge is not None
        before = snapshot()
        tried = 0
        while True:
            fd = await (bridge if ready else networks).create_namespace()
            FailingRtnl.left = tried
            try:
                endpoint = await bridge.plug(os.urandom(32).hex(), fd)
            except OSError:
                assert bridge.endpoints == []
                assert snapshot() == before
                os.close(fd)
                tried += 1
                continue
            break
        FailingRtnl.left = None
        assert tried >= (4 if ready else 6)  # one more where bridged packets are filtered
        assert endpoint.address == "172.17.0.2"
        await bridge.release(endpoint)
        os.close(fd)
        gone(before)
    finally:
        FailingRtnl.left = None
        await networks.stop(remove=True)


@pytest.mark.parametrize("moment", ["queued", "running"])
async def test_a_cancelled_plug_leaves_nothing(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the kernel was at work already or not: the address is free, no packet passes."""
    reached, gate = threading.Event(), threading.Event()
    connect = Bridge._connect

    def held(*arguments: Any, **options: Any) -> None:
        reached.set()
        gate.wait(10)
        connect(*arguments, **options)

    monkeypatch.setattr(Bridge, "_connect", held)
    async with running() as bridge:
        fd = await bridge.create_namespace()
        if moment == "queued":
            blocker = bridge._thread.submit(lambda: gate.wait(10))
        task = asyncio.ensure_future(bridge.plug("e" * 64, fd))
        await until(lambda: bool(bridge.endpoints))
        if moment == "running":
            await until(reached.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(bridge.endpoints) == 1, "the address is kept until the wire is cut"
        gate.set()
        await until(lambda: not bridge.endpoints)
        if moment == "queued":
            assert blocker.result(10)
            assert not reached.is_set()
        assert ping(fd, "172.17.0.1", timeout=0.2) is None
        os.close(fd)
        async with container(bridge) as (other, endpoint):
            assert endpoint.address == "172.17.0.2"
            assert ping(other, "172.17.0.1") is not None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 – the kernel sets no event
            await asyncio.sleep(0.005)


async def test_two_hundred_cycles() -> None:
    """Descriptors, threads, links, addresses and rules are what they were."""
    networks = await Networks.start(CONFIG)
    try:
        bridge = networks.default
        assert bridge is not None
        descriptors = len(os.listdir("/proc/self/fd"))
        for number in range(200):
            async with container(bridge) as (_, endpoint):
                assert endpoint.address == "172.17.0.2", number
        assert bridge.endpoints == []
    finally:
        await networks.stop()
    assert len(os.listdir("/proc/self/fd")) <= descriptors

    def leftovers() -> list[str]:
        with Rtnl() as rtnl:
            return sorted(link.name for link in rtnl.links())

    wait_for(lambda: leftovers() == ["lo", "sampan0"], seconds=60)
    async with running():
        pass
    assert leftovers() == ["lo"]
    assert CommandNft().run("list ruleset") == ""


async def test_a_daemon_that_comes_back() -> None:
    """Restored containers keep address and link while their neighbours' leftovers are removed."""
    first = await Networks.start(CONFIG)
    assert first.default is not None
    fds = [await first.default.create_namespace() for _ in range(2)]
    kept = await first.default.plug("a" * 64, fds[0])
    lost = await first.default.plug("b" * 64, fds[1])
    await first.stop()
    assert ping(fds[0], "172.17.0.1") is not None

    async with running() as bridge:
        bridge.restore(kept)
        bridge.restore(kept)
        with pytest.raises(Conflict):
            bridge.restore(replace(kept, endpoint_id="c" * 64))
        assert await reconcile(bridge) == [lost.host_interface]
        assert ping(fds[0], "172.17.0.1") is not None
        async with container(bridge) as (_, endpoint):
            assert endpoint.address == lost.address
        await bridge.release(kept)
        assert ping(fds[0], "172.17.0.1", timeout=0.3) is None
    for fd in fds:
        os.close(fd)


async def test_what_somebody_removed_comes_back() -> None:
    """The bridge, its address, a port and the table, with containers running."""
    with outside() as wan:
        async with running() as bridge, container(bridge) as (fd, endpoint):
            with Rtnl() as rtnl:
                rtnl.delete_link(rtnl.link("sampan0").index)
            CommandNft().run("flush ruleset")
            assert ping(fd, "172.17.0.1", timeout=0.2) is None
            assert await reconcile(bridge) == []
            assert ping(fd, "172.17.0.1") is not None
            assert ping(fd, wan.address) is not None
            with Rtnl() as rtnl:
                rtnl.set_link(rtnl.link(endpoint.host_interface).index, master=0)
            await reconcile(bridge)
            async with container(bridge) as (other, second):
                assert ping(other, endpoint.address) is not None
                assert second.gateway == endpoint.gateway


async def test_two_daemons_side_by_side() -> None:
    """Tables, bridges, marks and subnets of their own; neither sees the other's leftovers as stale,
    and their containers do not reach each other."""
    with outside() as wan:
        before = snapshot()
        async with running() as one, running(replace(CONFIG, bridge="br-two")) as two:
            assert str(two.subnet) == "172.18.0.0/16"
            async with container(one) as (a, first), container(two) as (b, second):
                assert await reconcile(one) == await reconcile(two) == []
                for fd, gateway in ((a, "172.17.0.1"), (b, "172.18.0.1")):
                    assert ping(fd, gateway) is not None
                    assert ping(fd, wan.address) is not None
                assert ping(a, second.address, timeout=0.3) is None
                assert ping(b, first.address, timeout=0.3) is None
            tables = CommandNft().run("list tables").split("table inet ")[1:]
            assert len(tables) == 2
        gone(before)


async def test_foreign_rules_are_untouched() -> None:
    """W5: another engine's table and bridge are the same before, during and after."""
    foreign = "table ip filter {\nchain FORWARD {\ntype filter hook forward priority 0;\n}\n}\n"
    CommandNft().run(foreign)
    with Rtnl() as rtnl:
        rtnl.add_bridge("docker0")
    listing = CommandNft().run("list table ip filter")
    async with running() as bridge, container(bridge):
        assert CommandNft().run("list table ip filter") == listing
    assert CommandNft().run("list ruleset") == listing
    with Rtnl() as rtnl:
        assert rtnl.link("docker0").alias == ""


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (NetworkConfig(bridge="wan"), Conflict),
        (NetworkConfig(bridge="a*"), InvalidParameter),
        (NetworkConfig(bip=IPv4Interface("198.51.100.9/24")), InvalidParameter),
        (NetworkConfig(fixed_cidr=IPv4Network("10.0.0.0/24")), InvalidParameter),
        (NetworkConfig(mtu=1), SampanError),
    ],
)
async def test_a_start_that_cannot_be(config: NetworkConfig, error: type[SampanError]) -> None:
    """A clear error, the host as it was, no thread left."""
    with outside():
        before = snapshot()
        with pytest.raises(error):
            await Networks.start(config)
        gone(before)


async def test_without_a_bridge() -> None:
    """`bridge` "none": namespaces only, the host is not touched."""
    before = snapshot()
    networks = await Networks.start(NetworkConfig(bridge="none"))
    assert networks.default is None
    fd = await networks.create_namespace()
    os.close(fd)
    assert await networks.reconcile() == []
    await networks.stop(remove=True)
    assert snapshot() == before


async def test_the_mtu_goes_to_both_ends() -> None:
    """And to the bridge."""

    def mtu(name: str) -> int:
        with Rtnl() as rtnl:
            return rtnl.link(name).mtu

    async with running(replace(CONFIG, mtu=1400)) as bridge, container(bridge) as (fd, endpoint):
        assert {mtu("sampan0"), mtu(endpoint.host_interface)} == {1400}
        assert run_in(fd, lambda: mtu("eth0")) == 1400


async def test_leftover_links_are_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace that somebody keeps open does not keep the link."""
    monkeypatch.setattr(bridge_module, "SWEEP_DELAY", 0.01)
    async with running() as bridge:
        fd = await bridge.create_namespace()
        endpoint = await bridge.plug("d" * 64, fd)
        await bridge.release(endpoint)

        def left() -> bool:
            with Rtnl() as rtnl:
                return any(x.name == endpoint.host_interface for x in rtnl.links())

        await until(lambda: not left())
        os.close(fd)


@pytest.mark.parametrize("make", [LibraryNft, CommandNft])
async def test_nft_transactions(make: Callable[[], Nft]) -> None:
    """By the library and by the command: all or nothing, output and the error's text come back."""
    nft = make()
    assert nft.run("add table ip one") == ""
    assert "table ip one" in nft.run("list tables")
    with pytest.raises(NftError, match="No such file or directory"):
        nft.run("add table ip two\nadd chain ip nothing chain_\n")
    with pytest.raises(NftError, match="syntax error"):
        nft.run("add add")
    assert "two" not in nft.run("list tables")
    nft.close()


async def test_the_kernel_explains(home: int) -> None:
    """The extended acknowledgement is in the error's text."""
    with Rtnl() as rtnl:
        rtnl.add_bridge("b0")
        with pytest.raises(OSError) as caught:
            rtnl.add_route(IPv4Network("10.0.0.0/8"), gateway=IPv4Address("10.9.9.9"))
        assert "Nexthop has invalid gateway" in str(caught.value)


async def test_a_flood_of_plugs() -> None:
    """Twenty at once: different addresses, all reach the gateway."""

    async def one(bridge: Bridge) -> tuple[int, Endpoint]:
        fd = await bridge.create_namespace()
        return fd, await bridge.plug(os.urandom(32).hex(), fd)

    async with running() as bridge:
        jobs: list[Awaitable[tuple[int, Endpoint]]] = [one(bridge) for _ in range(20)]
        plugged = await asyncio.gather(*jobs)
        assert len({endpoint.address for _, endpoint in plugged}) == 20
        assert all(ping(fd, "172.17.0.1") is not None for fd, _ in plugged)
        for fd, endpoint in plugged:
            await bridge.release(endpoint)
            os.close(fd)
