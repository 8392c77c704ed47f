"""IP forwarding for our bridge only, without the host's global switch.

The kernel asks the switch of the interface a packet came in by (`net.ipv4.conf.IF.forwarding`): the
bridge's for what containers send, the uplink's for the answers. `net.ipv4.ip_forward` writes all of
them and makes the host a router between all its networks. So only these are switched on, and
where the uplink's was off, our firewall refuses new flows from it that are not for the bridge
(`firewall.ruleset(guarded=…)`): the host routes for containers and for nobody else.

Once somebody sets the global switch, they want a router: nothing is switched or guarded any more.
What we switched is kept in a file of the run folder, because the switch itself does not tell.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sampan.linux import atomic
from sampan.linux.netlink import Address, Link, Route
from sampan.network.host import Host, Switches

ON, OFF = "1", "0"


@dataclass(slots=True)
class SwitchOn:
    """Undone only where it was off before. `foreign`: an interface of others, who may take it away at any moment."""

    interface: str
    foreign: bool = False
    was: str = field(default=ON, init=False)

    def describe(self) -> str:
        return f"forward what comes in by {self.interface}"

    def execute(self, host: Host) -> None:
        write = write_if_there if self.foreign else write_switch
        read = state_of if self.foreign else read_switch
        self.was = read(host.switches, self.interface) or ON
        if self.was == OFF:
            write(host.switches, self.interface, ON)

    def undo(self, host: Host) -> None:
        if self.was == OFF:
            write_if_there(host.switches, self.interface, OFF)


@dataclass(slots=True)
class SwitchOnIPv6:
    """IPv6 has one switch for all. Hosts that learn their own routes from routers go on doing so:
    the kernel would stop that on a router unless told (`accept_ra` 2)."""

    was: str = field(default=ON, init=False)

    def describe(self) -> str:
        return "forward IPv6"

    def execute(self, host: Host) -> None:
        self.was = host.switches.read("net", "ipv6", "conf", "all", "forwarding")
        if self.was != OFF:
            return
        for link in host.links.links():
            place = ("net", "ipv6", "conf", link.name, "accept_ra")
            try:
                if host.switches.read(*place) == "1":
                    host.switches.write("2", *place)
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
        host.switches.write(ON, "net", "ipv6", "conf", "all", "forwarding")

    def undo(self, host: Host) -> None:
        if self.was == OFF:
            host.switches.write(OFF, "net", "ipv6", "conf", "all", "forwarding")


def read_switch(switches: Switches, interface: str) -> str:
    return switches.read("net", "ipv4", "conf", interface, "forwarding")


def write_switch(switches: Switches, interface: str, value: str) -> None:
    switches.write(value, "net", "ipv4", "conf", interface, "forwarding")


def forwards_globally(switches: Switches) -> bool:
    return switches.read("net", "ipv4", "ip_forward") == ON


def uplinks(
    links: Iterable[Link], addresses: Sequence[Address], routes: Sequence[Route], bridge: str
) -> list[str]:
    """Interfaces by which answers may come: those with an IPv4 address, but `lo` and the bridge.

    Another bridge counts only where a gateway is behind it: else it is somebody's network of
    containers or machines, and guarding it would cut those off.
    """
    reachable = {item.index for item in addresses if item.address.version == 4}
    gateways = {route.index for route in routes if route.gateway is not None}
    return sorted(
        link.name
        for link in links
        if link.index in reachable
        and link.index != 1
        and link.name != bridge
        and (link.kind != "bridge" or link.index in gateways)
    )


def write_if_there(switches: Switches, interface: str, value: str) -> None:
    """As `write_switch`, for an interface that may have gone away meanwhile."""
    try:
        write_switch(switches, interface, value)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def state_of(switches: Switches, interface: str) -> str | None:
    """ON or OFF; None for an interface that went away meanwhile."""
    try:
        return read_switch(switches, interface)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return None


def load_switched(path: str) -> list[str]:
    """What an earlier daemon switched on since the host was started; [] when nothing is known."""
    if not path:
        return []
    try:
        with open(path, encoding="utf-8") as file:
            names = json.load(file)
    except (OSError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def save_switched(path: str, names: Sequence[str]) -> None:
    os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
    atomic.write_file(path, json.dumps(sorted(names)).encode(), 0o600)
