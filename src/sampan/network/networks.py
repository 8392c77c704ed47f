"""`Networks`: everything of the daemon that has to do with networks, started and stopped as one."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import Any, TypeVar

from sampan.errors import Conflict, InvalidParameter, SampanError
from sampan.linux.kernel import LinuxKernel
from sampan.linux.netns import Kernel, NetworkThread
from sampan.network import egress, exposure, orphans, peers, publishing
from sampan.network.bridge import Bridge
from sampan.network.bridge_device import free_subnet
from sampan.network.config import NO_BRIDGE, BridgeConfig, NetworkConfig, ParentConfig
from sampan.network.endpoint import Endpoint
from sampan.network.exposure import Exposure
from sampan.network.firewall import check_interface_name, table_name
from sampan.network.foreign import Danger
from sampan.network.healing import Watch
from sampan.network.host import Host, open_host
from sampan.network.namespaces import (
    NamespacePool,
    create_bare,
    prepare_bare,
    replace_default_routes,
    set_inside,
)
from sampan.network.naming import Naming
from sampan.network.overlay import NAMES_OFFSET, Overlay, OverlayWish, settle
from sampan.network.parented import Parented
from sampan.network.setup import BridgeFacts, set_up, switch_back, switch_uplinks, tear_down
from sampan.network.uplinks import UplinkWatch
from sampan.network.warden.client import Spawn, Warden, WardenFailed
from sampan.network.warden.holds import Held, Wanted

log = logging.getLogger(__name__)

IPAddress = IPv4Address | IPv6Address

T = TypeVar("T")


class Networks:
    """`default` is None when the configuration says bridge "none"."""

    def __init__(
        self, thread: NetworkThread, kernel: Kernel, config: NetworkConfig, spawn: Spawn | None
    ) -> None:
        self._thread = thread
        self._kernel = kernel
        self._config = config
        self._opened: Host | None = None
        self._namespaces = NamespacePool(thread, self._create_bare, size=min(config.ready, 1))
        self._bridges: dict[str, Bridge] = {}
        self._parented: dict[str, Parented] = {}
        self._spared: dict[str, str] = {}  # networks that are not restored → their links
        self._followers: dict[str, asyncio.Task[None]] = {}  # of peers that are found by name
        self._namings: dict[str, tuple[int, Naming]] = {}
        self._published: dict[str, tuple[Sequence[Held], Sequence[str]]] = {}
        self._warden = Warden(config.warden_socket, spawn)
        self._watch: Watch | None = None
        self._uplinks: UplinkWatch | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self.default: Bridge | None = None
        self.on_refused: Callable[[str, dict[str, str]], None] = lambda owner, refusal: None

    @classmethod
    async def start(
        cls, config: NetworkConfig, kernel: Kernel | None = None, spawn: Spawn | None = None
    ) -> Networks:
        """In the network namespace of the calling thread. Where an earlier daemon's table stands, it stays until
        `reconcile`. Raises SampanError and leaves nothing."""
        networks = cls(NetworkThread(), kernel or LinuxKernel(), config, spawn)
        try:
            if config.bridge != NO_BRIDGE:
                await networks._start_bridge()
            networks._warden.on_lost = networks._rearm
            networks._warden.on_event = networks._on_event
            await networks._warden.find()
        except BaseException:
            await networks.stop()
            raise
        await networks._look_at_others()
        networks._namespaces.refill_later()
        if networks.default is not None:
            networks.default.prepare()
        return networks

    @property
    def name(self) -> str:
        """Tells the daemons of one host apart."""
        return self._config.owner or table_name(self._config.bridge)

    async def create_namespace(self) -> int:
        """A namespace with nothing but `lo`; the caller closes the descriptor."""
        return await self._namespaces.take()

    async def prepare_namespace(self, netns_fd: int) -> None:
        """As `create_namespace` leaves one: of somebody else's making, with nothing in it yet."""
        for bridge in self._bridges.values():
            bridge.forget_pair(netns_fd)
        await self._run(lambda: prepare_bare(self._kernel, netns_fd))

    async def set_inside(
        self,
        netns_fd: int,
        settings: Sequence[tuple[tuple[str, ...], str]],
        more: Sequence[tuple[str, IPv4Interface | IPv6Interface]] = (),
    ) -> None:
        """Kernel settings below /proc/sys/net of a namespace: the parts of a name, and its value; and more addresses
        of its interfaces, by their names. Raises OSError."""
        await self._run(lambda: set_inside(self._kernel, netns_fd, settings, more))

    # Networks

    def bridge(self, network_id: str) -> Bridge | Parented | None:
        return self._bridges.get(network_id) or self._parented.get(network_id)

    async def add_bridge(self, config: BridgeConfig) -> Bridge:
        """A user's network. Raises Conflict, InvalidParameter, PoolsExhausted, SampanError."""
        check_interface_name(config.bridge)
        if config.network_id in self._bridges:
            raise Conflict(f"network {config.network_id} is there already")
        owned = replace(config, owner=self.name)
        host = await self._host()
        try:
            facts = await self._run(lambda: set_up(host, owned))
            if self._config.ip_forward and not host.table.deferred:
                await self._run(lambda: switch_uplinks(host, self._config))
        except OSError as error:
            raise SampanError(f"cannot make the bridge {config.bridge}: {error}") from error
        bridge = Bridge(self._thread, host, self._kernel, owned, facts)
        self._bridges[config.network_id] = bridge
        self._spared.pop(config.network_id, None)
        if owned.overlay is not None:
            await self._join(bridge, owned.peer_name)
        if len(self._bridges) == 1:  # there was nothing that others could drop
            await self._look_at_others()
        return bridge

    def spare(self, network_id: str, link: str) -> None:
        """It could not be restored: what of it is there stays until it is removed, containers may be using it."""
        self._spared[network_id] = link

    async def remove_bridge(self, network_id: str) -> None:
        """Of whatever driver it is. Done twice, it does nothing."""
        parented = self._parented.pop(network_id, None)
        if parented is not None:
            shared = any(other.name == parented.name for other in self._parented.values())
            await parented.stop(remove=not shared)
        bridge = self._bridges.pop(network_id, None)
        if bridge is not None:
            await self._leave(network_id)
            await bridge.stop(remove=True)
        spared = self._spared.pop(network_id, None)
        if spared is not None and spared not in self._known():
            host = await self._host()
            await self._run(lambda: orphans.remove_links(host.links, self.name, spared))

    async def add_parented(self, config: ParentConfig) -> Parented:
        """A network on a link of the host. Raises Conflict, InvalidParameter, PoolsExhausted, SampanError."""
        check_interface_name(config.parent)
        if config.network_id in self._parented:
            raise Conflict(f"network {config.network_id} is there already")
        host = await self._host()
        if config.ipv4 and config.gateway is None:
            gateway = await self._run(lambda: free_subnet(host, config.pools, config.avoid))
            config = replace(config, gateway=gateway)
        owned = replace(config, owner=self.name)
        network = Parented(self._thread, host, self._kernel, owned, self.create_namespace)
        await network.set_up()
        self._parented[config.network_id] = network
        self._spared.pop(config.network_id, None)
        return network

    async def settle_overlay(self, wish: OverlayWish, known: str = "") -> tuple[Overlay, int]:
        """Which address this host has among the others, who they are, and the MTU. `known`: the address
        that it had, when nobody says another.

        Raises InvalidParameter, SampanError."""
        host = await self._host()
        if known and wish.local is None and not wish.device:
            own = await self._run(host.links.addresses)
            if not any(str(item.address) == known for item in own):
                # Another one would be another part of the subnet: addresses that are in use elsewhere.
                raise SampanError(f"vxlan: {known} is not an address of this host any more")
            wish = replace(wish, local=ip_address(known))
        found = wish.peers
        if wish.name:
            try:
                found = await peers.look_up(wish.name)
            except OSError as error:
                if wish.local is None and not wish.device:
                    raise SampanError(f"vxlan: peers: {wish.name}: {error.strerror}") from error
                log.error("vxlan: peers: %s: %s", wish.name, error)
        return await self._run(
            lambda: settle(wish, found, host.links.links(), host.links.addresses())
        )

    async def _join(self, bridge: Bridge, peer_name: str) -> None:
        if peer_name:
            task = asyncio.get_running_loop().create_task(
                peers.follow(peer_name, lambda found: self._found(bridge, found))
            )
            self._followers[bridge.network_id] = task
        await self._tell_peers(bridge)

    async def _found(self, bridge: Bridge, found: Sequence[IPAddress]) -> None:
        overlay = bridge.overlay
        assert overlay is not None
        others = [
            item
            for item in found
            if item != overlay.local and item.version == overlay.local.version
        ]
        if set(others) != set(overlay.peers):
            await bridge.set_peers(others)
        await self._tell_peers(bridge)

    async def _tell_peers(self, bridge: Bridge) -> None:
        """Names are asked of them."""
        overlay = bridge.overlay
        if overlay is None:
            return
        await self._warden.start()
        fields: dict[str, Any] = {
            "network": bridge.network_id,
            "vni": overlay.vni,
            "local": str(overlay.local),
            "port": overlay.port + NAMES_OFFSET,
            "peers": [str(item) for item in overlay.peers],
        }
        try:
            await self._run(lambda: self._warden.request("overlay", **fields))
        except WardenFailed as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise InvalidParameter(
                f"vxlan: port {fields['port']}, where hosts ask each other for names, is in use: "
                "name another with --opt port="
            ) from None

    async def _leave(self, network_id: str) -> None:
        task = self._followers.pop(network_id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._warden.running:
            with suppress(SampanError):  # a warden that died serves nobody
                await self._run(lambda: self._warden.request("leave", network=network_id))

    async def reconcile(
        self, live: Iterable[Endpoint] = (), running: Mapping[str, bool] | None = None
    ) -> list[str]:
        """When all records are known: bridges, rules and links as they say, orphans removed.

        `running`: containers, and whether each has an egress policy: what is held for them stays, though
        they could not be restored. Names the links that were removed."""
        endpoints = list(live)
        removed: list[str] = []
        for bridge in self._bridges.values():
            mine = [item for item in endpoints if item.network_id == bridge.network_id]
            removed += await bridge.reconcile(mine)
        if self._opened is not None:
            await self._look_at_others()
            removed += await self._run(partial(self._finish, self._opened))
        await self._keep(running or {})
        return removed

    async def _keep(self, running: Mapping[str, bool]) -> None:
        """What the warden holds for others goes. Egress policies that stand are changed when it knows them all."""
        owners = {*self._published, *self._namings, *running}
        policed = self._policed | {owner for owner, policy in running.items() if policy}
        fields: dict[str, Any] = {"owners": sorted(owners), "policed": sorted(policed)}
        if self._warden.running:
            await self._run(lambda: self._warden.request("keep", **fields))
        if self._opened is not None and not policed and not self._policed:
            table = self._opened.table
            await self._run(lambda: table.remove_beside(egress.table_name(self.name)))

    @property
    def _policed(self) -> set[str]:
        return {owner for owner, (_, naming) in list(self._namings.items()) if naming.egress}

    def _finish(self, host: Host) -> list[str]:
        """On the thread: one transaction puts the whole table in force."""
        host.table.write()
        switch_uplinks(host, self._config)
        return orphans.remove(host.links, self.name, self._known(), set(self._spared.values()))

    def _known(self) -> set[str]:
        """Links that networks stand on."""
        known = {bridge.name for bridge in self._bridges.values()}
        known |= {network.name for network in self._parented.values()}
        known |= {bridge.overlay.link for bridge in self._bridges.values() if bridge.overlay}
        return known | set(self._spared.values())

    async def set_default_route(self, netns_fd: int, gateways: Sequence[str]) -> None:
        """Of a container that runs; none: it has no way out any more. `netns_fd` stays the caller's."""
        addresses = [ip_address(text) for text in gateways]
        await self._run(lambda: replace_default_routes(self._kernel, netns_fd, addresses))

    # Published ports

    async def reserve_ports(self, owner: str, wishes: Sequence[Wanted]) -> list[Held]:
        """Bound from now on, all or none. Raises `warden.holds.Refused`, SampanError."""
        await self._warden.start()
        return await self._run(lambda: self._warden.hold(owner, wishes))

    async def open_ports(self, owner: str, held: Sequence[Held], addresses: Sequence[str]) -> None:
        """What comes in at the ports goes to the container from now on."""
        self._published[owner] = (held, addresses)
        host = await self._host()
        await self._run(lambda: self._open_ports(host, owner, held, addresses))

    async def close_ports(self, owner: str) -> None:
        """Done twice, it does nothing."""
        known = self._published.pop(owner, None)
        if known is not None and self._opened is not None:
            host = self._opened
            await self._run(lambda: self._close_ports(host, owner, known[0]))
        if known is not None or owner not in self._namings:
            await self._release(owner)

    async def restore_ports(
        self, owner: str, held: Sequence[Held], addresses: Sequence[str]
    ) -> None:
        """After a restart of the daemon: they are held again, if they are not. Raises SampanError."""
        self._published[owner] = (held, addresses)
        await self._warden.start()
        await self._run(lambda: self._hold_again(owner, held))
        await self.open_ports(owner, held, addresses)

    async def expose(self, held: Sequence[Held]) -> list[list[Exposure]]:
        """Who can reach each of these ports, by the rules in force. Raises SampanError."""
        host = await self._host()
        bridges = [bridge.name for bridge in self._bridges.values()]
        try:
            facts = await self._run(lambda: exposure.look(host, self.name, bridges))
            return await asyncio.to_thread(exposure.expose_all, facts, held)
        except OSError as error:
            raise SampanError(f"the host's rules cannot be read: {error}") from error

    def _open_ports(
        self, host: Host, owner: str, held: Sequence[Held], texts: Sequence[str]
    ) -> None:
        addresses = [ip_address(text) for text in texts]
        self._warden.request("aim", owner=owner, addresses=list(texts))
        if self._config.publish_mode == "docker":
            host.table.set_forwards(owner, publishing.forwards(held, addresses))
        publishing.forget_udp(held, addresses)

    def _close_ports(self, host: Host, owner: str, held: Sequence[Held]) -> None:
        host.table.set_forwards(owner, ())
        publishing.forget_udp(held, ())

    def _hold_again(self, owner: str, held: Sequence[Held]) -> None:
        if owner in self._warden.request("hello")["holding"]:
            return
        self._warden.hold(owner, publishing.the_same(held))

    def _rearm(self) -> None:
        """The warden died: another one, with all that it held."""
        if not self._closing:
            self._spawn_task(self._hold_everything())

    async def _hold_everything(self) -> None:
        if self._opened is not None and self._opened.table.queue:
            await self._look_at_others()
        for bridge in list(self._bridges.values()):
            try:
                await self._tell_peers(bridge)
            except Exception as error:
                log.error("network %s: no names of other hosts: %s", bridge.network_id[:12], error)
        for owner, (held, addresses) in list(self._published.items()):
            try:
                await self.restore_ports(owner, held, addresses)
            except Exception as error:
                log.error("container %s: its ports are not held: %s", owner[:12], error)
        for owner, (fd, naming) in list(self._namings.items()):
            try:
                await self.serve_names(owner, fd, naming)
            except Exception as error:
                log.error("container %s: it finds no names: %s", owner[:12], error)
        try:
            await self._keep({})
        except SampanError as error:  # it died again, and the next one is told
            log.error("what an earlier warden left stays: %s", error)

    # Names

    async def serve_names(self, owner: str, netns_fd: int, naming: Naming) -> None:
        """A name server in the container's namespace, the caller's to close; told anew when something has
        changed. Raises SampanError."""
        before = self._namings.get(owner)
        fd = os.dup(netns_fd) if before is None else before[0]
        # Before anything is awaited: whoever asks meanwhile what is to be kept finds it.
        self._namings[owner] = now = (fd, naming)
        try:
            await self._warden.start()
            await self._run(lambda: self._tell_naming(owner, fd, naming))
        except BaseException:
            if before is not None and self._namings.get(owner) is now:
                self._namings[owner] = before
            raise

    async def forget_names(self, owner: str) -> None:
        """Done twice, it does nothing."""
        known = self._namings.pop(owner, None)
        if known is None:
            return
        os.close(known[0])
        await self._release(owner)

    def _on_event(self, event: dict[str, Any]) -> None:
        if "refused" in event:
            self.on_refused(str(event["owner"]), dict(event["refused"]))

    def _tell_naming(self, owner: str, fd: int, naming: Naming) -> None:
        table = egress.table_name(self.name)
        self._warden.request("resolver", (fd,), owner=owner, table=table, **naming.to_message())

    async def _release(self, owner: str) -> None:
        if self._warden.running:
            with suppress(SampanError):  # a warden that died holds nothing
                await self._run(lambda: self._warden.request("release", owner=owner))

    # Beginning and end

    async def stop(self, *, remove: bool = False) -> None:
        """Containers that run keep their network; `remove` takes bridges and rules away as well."""
        self._closing = True
        for watch in (self._watch, self._uplinks):
            if watch is not None:
                watch.close()
        tasks = [*self._tasks, *self._followers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._warden.running and not any(bridge.endpoints for bridge in self._bridges.values()):
            with suppress(SampanError):  # it died, and answers nothing
                await self._run(lambda: self._warden.request("queue", wanted=False))
        await self._namespaces.close()
        try:
            for bridge in self._bridges.values():
                await bridge.stop(remove=remove)
            for network in self._parented.values():
                await network.stop(remove=remove)
            if remove and self._opened is not None:
                host = self._opened
                await self._run(lambda: self._remove(host))
        finally:
            self._warden.close()
            while self._namings:
                os.close(self._namings.popitem()[1][0])
            await self._run(self._close_host)
            self._thread.close()

    def _remove(self, host: Host) -> None:
        switch_back(host, self._config)
        host.table.remove()

    async def _start_bridge(self) -> None:
        check_interface_name(self._config.bridge)
        config = self._config.default_bridge()
        try:
            host = await self._host()
            facts = await self._run(lambda: self._set_up_default(host, config))
        except OSError as error:
            raise SampanError(
                f"Error initializing network controller: bridge {self._config.bridge}: {error}"
            ) from error
        self.default = Bridge(self._thread, host, self._kernel, config, facts)
        self._bridges[config.network_id] = self.default

    def _set_up_default(self, host: Host, config: BridgeConfig) -> BridgeFacts:
        try:
            facts = set_up(host, config)
            if not host.table.deferred:
                try:
                    switch_uplinks(host, self._config)
                except BaseException:
                    tear_down(host, config, facts)
                    raise
        except BaseException:
            if not host.table.deferred:
                host.table.remove()
            raise
        return facts

    def _create_bare(self) -> int:
        fd = create_bare(self._kernel)
        for bridge in self._bridges.values():
            bridge.forget_pair(fd)
        return fd

    async def _host(self) -> Host:
        """Opened by whoever needs it first."""
        if self._opened is None:
            self._opened = await self._run(lambda: self._opened or open_host(self.name))
            tables = (self.name, egress.table_name(self.name))
            self._watch = await self._run(lambda: Watch(tables, self._made_by_us))
            self._watch.start(self._on_rules)
            if self._config.ip_forward:
                self._uplinks = await self._run(UplinkWatch)
                self._uplinks.start(lambda: self._spawn_task(self._look_at_uplinks()))
        return self._opened

    def _made_by_us(self, pid: int) -> bool:
        host = self._opened
        return pid != 0 and (
            (host is not None and host.table.made_by(pid)) or pid == self._warden.pid
        )

    def _on_rules(self, damaged: bool) -> None:
        """Somebody else changed rules: ours are mended, and others' looked at."""
        host = self._opened
        if host is None:
            return
        if damaged:
            log.warning("the table %s was changed by somebody else, it is written anew", self.name)
            self._thread.submit(host.table.mend)
            self._thread.submit(self._mend_policies)
        self._spawn_task(self._look_at_others())

    def _mend_policies(self) -> None:
        """On the thread."""
        try:
            if self._policed:
                self._warden.request("mend")
        except SampanError as error:  # when it died, the next one writes them
            log.error("the egress policies could not be written anew: %s", error)

    def _spawn_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_at_uplinks(self) -> None:
        """An address or a route of the host has changed: answers must come in by every uplink."""
        host = self._opened
        if host is None or host.table.deferred or not self._bridges:
            return
        try:
            await self._run(lambda: switch_uplinks(host, self._config))
        except (SampanError, OSError) as error:
            log.error("an uplink of the host does not let answers to containers in: %s", error)

    async def _look_at_others(self) -> None:
        """Where another firewall may drop what ours allows, first packets go through the warden."""
        host = self._opened
        if host is None:
            return
        try:
            danger = await self._run(host.table.danger) if self._bridges else Danger.NONE
            number = 0
            if danger:
                await self._warden.start()
                answer = await self._run(lambda: self._warden.request("queue", wanted=True))
                number = int(answer["number"])
            every = danger is Danger.EVERY
            await self._run(lambda: host.table.set_queue(number, every=every))
            if not danger and self._warden.running:
                await self._run(lambda: self._warden.request("queue", wanted=False))
        except (SampanError, OSError) as error:
            log.error("a foreign firewall may drop what containers send: %s", error)

    def _close_host(self) -> None:
        if self._opened is not None:
            self._opened.links.close()
            self._opened.table.close()
            self._opened = None

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._thread.submit(function))
