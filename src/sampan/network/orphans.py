"""Links of networks that no record knows: what a crash left. On the network thread."""

from __future__ import annotations

from collections.abc import Collection

from sampan.network.bridge_device import is_half_made
from sampan.network.endpoint import is_network_of
from sampan.network.host import Links, delete_link_if_there
from sampan.network.overlay import is_overlay_of


def remove(links: Links, owner: str, known: Collection[str], spared: Collection[str]) -> list[str]:
    """Their names. `owner`: the daemon. `spared`: bridges whose VXLAN link, of whatever name, stays too."""
    found = [
        link
        for link in links.links()
        if is_half_made(link)
        or (
            is_network_of(link.alias, owner)
            and link.name not in known
            and not any(is_overlay_of(link.alias, bridge) for bridge in spared)
        )
    ]
    for link in found:
        delete_link_if_there(links, link.index)
    return [link.name for link in found]


def remove_links(links: Links, owner: str, name: str) -> None:
    """Those of one network that could not be restored: the link it stands on, and its VXLAN link."""
    for link in links.links():
        if is_network_of(link.alias, owner) and (
            link.name == name or is_overlay_of(link.alias, name)
        ):
            delete_link_if_there(links, link.index)
