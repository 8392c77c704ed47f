"""The VXLAN link of a network across hosts: made beside its bridge, mended, taken away, as a plan."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass

from sampan.errors import Conflict, InvalidParameter, SampanError
from sampan.network.host import Host, quiet_ipv6, remove_link
from sampan.network.overlay import Overlay, is_overlay_of
from sampan.network.plan import Step


@dataclass(slots=True)
class MakeLink:
    overlay: Overlay
    bridge: str
    owner: str
    mtu: int
    isolated: bool

    def describe(self) -> str:
        return f"create VXLAN link {self.overlay.link} of {self.bridge}"

    def execute(self, host: Host) -> None:
        overlay = self.overlay
        try:
            host.links.add_vxlan(
                overlay.link,
                vni=overlay.vni,
                port=overlay.port,
                local=overlay.local,
                mtu=self.mtu,
            )
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise SampanError("vxlan: this kernel has no VXLAN links") from error
            raise
        try:
            index = host.links.link(overlay.link).index
            alias = overlay.alias(self.bridge, self.owner, isolated=self.isolated)
            host.links.set_link(index, alias=alias, master=host.links.link(self.bridge).index)
            if self.isolated:
                host.links.isolate_port(index)
            quiet_ipv6(host.switches, overlay.link)
            host.links.set_link(index, up=True)
        except BaseException as error:
            self.undo(host)
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                text = f"vxlan: port {overlay.port} is in use: name another with --opt port="
                raise InvalidParameter(text) from None
            raise

    def undo(self, host: Host) -> None:
        remove_overlay(host, self.overlay)


@dataclass(slots=True)
class RemoveLink:
    """One that is ours, and not as it should be: what follows makes it anew."""

    overlay: Overlay

    def describe(self) -> str:
        return f"remove VXLAN link {self.overlay.link}, which is not as it should be"

    def execute(self, host: Host) -> None:
        remove_overlay(host, self.overlay)

    def undo(self, host: Host) -> None:
        """A link that was wrong is not put back."""


@dataclass(slots=True)
class Flood:
    overlay: Overlay

    def describe(self) -> str:
        return f"send what is for everybody to {', '.join(map(str, self.overlay.peers))}"

    def execute(self, host: Host) -> None:
        index = host.links.link(self.overlay.link).index
        known, wanted = set(host.links.floods(index)), set(self.overlay.peers)
        for target in known - wanted:
            host.links.remove_flood(index, target)
        for target in wanted - known:
            host.links.add_flood(index, target)

    def undo(self, host: Host) -> None:
        """Goes with the link."""


def plan_overlay(
    host: Host, overlay: Overlay, *, bridge: str, owner: str, mtu: int, isolated: bool
) -> Sequence[Step[Host]]:
    """Whatever is not there yet. Raises Conflict for a link that is somebody else's."""
    found = {link.name: link for link in host.links.links()}
    link, master = found.get(overlay.link), found.get(bridge)
    steps: list[Step[Host]] = []
    alias = overlay.alias(bridge, owner, isolated=isolated)
    right = (
        link is not None
        and master is not None
        and link.alias == alias
        and (link.kind, link.master, link.mtu, link.up) == ("vxlan", master.index, mtu, True)
    )
    if link is not None and not right:
        if not (is_overlay_of(link.alias, bridge) and link.alias.endswith(f"@{owner}")):
            raise Conflict(
                f"vxlan: vni {overlay.vni} at port {overlay.port} is in use on this host"
            )
        steps.append(RemoveLink(overlay))
    if not right:
        steps.append(MakeLink(overlay, bridge, owner, mtu, isolated))
    steps.append(Flood(overlay))
    return steps


def remove_overlay(host: Host, overlay: Overlay) -> None:
    """Done twice, it does nothing."""
    remove_link(host.links, overlay.link)
