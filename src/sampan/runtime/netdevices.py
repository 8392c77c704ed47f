"""`linux.netDevices`: interfaces of the host that move into the container's network namespace.

config-linux.md, "Network Devices": the name may change, addresses of global scope stay, and it is up at the end. The
kernel gives physical ones back to the host when the namespace goes, and removes the others; when the container never
comes to run, we give all of them back as they were.
"""

from __future__ import annotations

import os

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.runtime.undo import Undo
from sampan.spec.record import dataclass, field
from sampan.spec.typing import Any, Callable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.linux.netlink.messages import Address
    from sampan.linux.netlink.rtnl import Rtnl

_LONGEST = 15


@dataclass(slots=True)
class _Device:
    name: str
    inside: str
    up: bool = False
    addresses: list[Address] = field(default_factory=list)
    moved: bool = False


def move_devices(
    kernel: Kernel,
    pid: int,
    wanted: Mapping[str, Mapping[str, Any]],
    undo: Undo,
    *,
    own_network: bool,
) -> None:
    """Raises OSError, ValueError. Until `undo` is settled it gives back what was moved."""
    if not own_network:
        raise ValueError("linux.netDevices: they need a network namespace of the container's own")
    devices = [_Device(name, str(entry.get("name") or name)) for name, entry in wanted.items()]
    for device in devices:
        name = device.inside
        if not name or len(name) > _LONGEST or "/" in name or name in (".", ".."):
            raise ValueError(f"linux.netDevices: {name!r} is no name of an interface")
    home = kernel.openat2(c.AT_FDCWD, "/proc/self/ns/net", os.O_RDONLY)
    undo.add("close a namespace", lambda: kernel.close(home), settled=lambda: kernel.close(home))
    place = kernel.openat2(c.AT_FDCWD, f"/proc/{pid}/ns/net", os.O_RDONLY)
    undo.add("close a namespace", lambda: kernel.close(place), settled=lambda: kernel.close(place))
    # Held open, the namespace outlives an init that fails, and so do the devices in it.
    undo.add(
        "give the network devices back",
        lambda: _give_back(kernel, home, place, devices),
        settled=lambda: None,
    )
    _send(devices, place)
    kernel.setns(place, c.CLONE_NEWNET)
    try:
        _set_up({device.inside: device for device in devices}, up=True)
    finally:
        kernel.setns(home, c.CLONE_NEWNET)


def _send(devices: list[_Device], place: int) -> None:
    # A third of a millisecond's import, for the few who have such devices; this is still the host.
    from sampan.linux.netlink.rtnl import Rtnl

    with Rtnl() as here:
        for device in devices:
            link = here.link(device.name)
            device.up = link.up
            # Of IPv6 the kernel makes the link's own anew; of IPv4 169.254.0.0/16 is as good as any.
            device.addresses = [
                a
                for a in here.addresses(link.index)
                if a.address.version == 4 or not a.address.is_link_local
            ]
            here.set_link(link.index, netns_fd=place, name=device.inside)
            device.moved = True


def _set_up(named: Mapping[str, _Device], *, up: bool) -> None:
    from sampan.linux.netlink.rtnl import Rtnl

    with Rtnl() as socket:
        for name, device in named.items():
            _set_up_one(socket, name, device, up=up)


def _set_up_one(socket: Rtnl, name: str, device: _Device, *, up: bool) -> None:
    index = socket.link(name).index
    for address in device.addresses:
        socket.add_address(index, address.address, address.prefix)
    if up:
        socket.set_link(index, up=True)


def _give_back(kernel: Kernel, home: int, place: int, devices: list[_Device]) -> None:
    """Raises the first OSError when all have been tried: those that stay end with the namespace."""
    from sampan.linux.netlink.rtnl import Rtnl

    kernel.setns(place, c.CLONE_NEWNET)
    try:
        with Rtnl() as there:
            moved = [device for device in devices if device.moved]
            failure = _each(moved, lambda device: _return(there, device, home))
    finally:
        kernel.setns(home, c.CLONE_NEWNET)
    # Of one that stayed the name may be another's here.
    back = [device for device in moved if not device.moved]
    with Rtnl() as here:
        later = _each(back, lambda device: _set_up_one(here, device.name, device, up=device.up))
    failure = failure or later
    if failure is not None:
        raise failure


def _return(there: Rtnl, device: _Device, home: int) -> None:
    # Its addresses and its state do not move with it.
    there.set_link(there.link(device.inside).index, netns_fd=home, name=device.name)
    device.moved = False


def _each(devices: list[_Device], step: Callable[[_Device], None]) -> OSError | None:
    first = None
    for device in devices:
        try:
            step(device)
        except OSError as error:
            first = first or error
    return first
