"""`linux.netDevices`: interfaces of the host that move into the container's network namespace.

config-linux.md, "Network Devices": the name may change, addresses of global scope stay, and it is up at the end. The
kernel gives physical ones back to the host when the namespace goes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.spec.typing import Any

_LONGEST = 15


def move_devices(
    kernel: Kernel, pid: int, devices: Mapping[str, Mapping[str, Any]], *, own_network: bool
) -> None:
    """Raises OSError, ValueError."""
    # A third of a millisecond's import, for the few who have such devices; this is still the host.
    from sampan.linux.netlink.rtnl import Rtnl

    if not own_network:
        raise ValueError("linux.netDevices: they need a network namespace of the container's own")
    names = {name: str(entry.get("name") or name) for name, entry in devices.items()}
    for name in names.values():
        if not name or len(name) > _LONGEST or "/" in name or name in (".", ".."):
            raise ValueError(f"linux.netDevices: {name!r} is no name of an interface")
    home = kernel.openat2(c.AT_FDCWD, "/proc/self/ns/net", os.O_RDONLY)
    place = kernel.openat2(c.AT_FDCWD, f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        kept = {}
        with Rtnl() as here:
            for name, new in names.items():
                link = here.link(name)
                kept[new] = [a for a in here.addresses(link.index) if not a.address.is_link_local]
                here.set_link(link.index, netns_fd=place, name=new)
        kernel.setns(place, c.CLONE_NEWNET)
        try:
            with Rtnl() as there:
                for name, addresses in kept.items():
                    index = there.link(name).index
                    for address in addresses:
                        there.add_address(index, address.address, address.prefix)
                    there.set_link(index, up=True)
        finally:
            kernel.setns(home, c.CLONE_NEWNET)
    finally:
        kernel.close(place)
        kernel.close(home)
