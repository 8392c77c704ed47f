"""The host's link that macvlan and ipvlan networks stand on: found, or made and removed again. Blocking.

A name `LINK.VLAN` that is not there is an 802.1Q sub-interface of LINK, made for the network; no name is a
link of its own that leads nowhere (`dm-…`). What we made carries our mark and goes with its network.
"""

from __future__ import annotations

import errno

from sampan.errors import InvalidParameter, SampanError
from sampan.linux.netlink import Link
from sampan.network.endpoint import bridge_alias
from sampan.network.host import Host, delete_link_if_there, find_link

MAX_VLAN = 4094


def split_vlan(host: Host, name: str, what: str) -> tuple[Link, int]:
    """`eth0.10`: the link, and the number. Raises InvalidParameter in Docker's words."""
    if "." not in name:
        raise InvalidParameter(
            f"invalid subinterface vlan name {name}, example formatting is eth0.10"
        )
    parts = name.split(".")
    if len(parts) != 2:
        raise InvalidParameter(
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, "
            f"instead received {name}"
        )
    link, number = find_link(host.links, parts[0]), parts[1]
    if not (number.isascii() and number.lstrip("+-").isdigit()):
        raise InvalidParameter(
            f"unable to parse a valid vlan id from: {number} (ex. eth0.10 for vlan 10)"
        )
    if link is None:
        raise InvalidParameter(
            f"-o parent interface does was not found on the host: {parts[0]}"  # Docker's words
        )
    if not 1 <= int(number) <= MAX_VLAN:
        raise InvalidParameter(f"vlan id must be between 1-4094, received: {int(number)}")
    return link, int(number)


def set_up_parent(host: Host, name: str, *, kind: str, owner: str) -> None:
    """Nothing is done where it is there. Raises InvalidParameter, SampanError."""
    if not host.links.supports(kind):
        raise SampanError(f"{kind}: operation not supported: this kernel has no {kind} links")
    if find_link(host.links, name) is not None:
        return
    try:
        if name.startswith("dm-"):
            what = "dummy"
            host.links.add_dummy(name)
        else:
            link, number = split_vlan(host, name, kind)
            what = f"{name} vlan"
            host.links.add_vlan(name, parent=link.index, vlan=number)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise SampanError(f"failed to create {what} link: {error.strerror}") from error
        raise SampanError(
            f"failed to create {what} link: operation not supported: this kernel has no "
            f"{what.rpartition(' ')[2]} links"
        ) from error
    made = host.links.link(name)
    try:
        host.links.set_link(made.index, up=True, alias=bridge_alias(name, owner))
    except BaseException:
        delete_link_if_there(host.links, made.index)
        raise


def remove_parent(host: Host, name: str, *, owner: str) -> None:
    """If it is one that we made. Done twice, it does nothing."""
    link = find_link(host.links, name)
    if link is not None and link.alias == bridge_alias(name, owner):
        delete_link_if_there(host.links, link.index)
