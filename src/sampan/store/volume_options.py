"""The local driver's options: what `volume create -o type=… -o device=… -o o=…` asks mount(2) to do. Pure.

Words and texts are moby's (`volume/local`, `sys/mount`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple

from sampan.errors import InvalidParameter
from sampan.linux import constants as c

_VALID = ("type", "o", "device", "size")
_REQUIRED = ("device", "type")

# word → (does it clear, flag)
_FLAGS: dict[str, tuple[bool, int]] = {
    "async": (True, c.MS_SYNCHRONOUS),
    "atime": (True, c.MS_NOATIME),
    "bind": (False, c.MS_BIND),
    "defaults": (False, 0),
    "dev": (True, c.MS_NODEV),
    "diratime": (True, c.MS_NODIRATIME),
    "dirsync": (False, c.MS_DIRSYNC),
    "exec": (True, c.MS_NOEXEC),
    "noatime": (False, c.MS_NOATIME),
    "nodev": (False, c.MS_NODEV),
    "nodiratime": (False, c.MS_NODIRATIME),
    "noexec": (False, c.MS_NOEXEC),
    "norelatime": (True, c.MS_RELATIME),
    "nostrictatime": (True, c.MS_STRICTATIME),
    "nosuid": (False, c.MS_NOSUID),
    "rbind": (False, c.MS_BIND | c.MS_REC),
    "relatime": (False, c.MS_RELATIME),
    "ro": (False, c.MS_RDONLY),
    "rw": (True, c.MS_RDONLY),
    "strictatime": (False, c.MS_STRICTATIME),
    "suid": (True, c.MS_NOSUID),
    "sync": (False, c.MS_SYNCHRONOUS),
}
_PROPAGATIONS = {
    "private": c.MS_PRIVATE,
    "rprivate": c.MS_PRIVATE | c.MS_REC,
    "shared": c.MS_SHARED,
    "rshared": c.MS_SHARED | c.MS_REC,
    "slave": c.MS_SLAVE,
    "rslave": c.MS_SLAVE | c.MS_REC,
    "unbindable": c.MS_UNBINDABLE,
    "runbindable": c.MS_UNBINDABLE | c.MS_REC,
}


class MountCall(NamedTuple):
    """What mount(2) is given; `propagation` (0: none) takes a call of its own."""

    source: str
    kind: str
    flags: int
    propagation: int
    data: str

    def describe(self, target: str) -> str:
        """As moby says what it tried."""
        text = f"mount {self.source}:{target}"
        flags = self.flags | self.propagation
        if flags:
            text += f", flags: 0x{flags:x}"
        return f"{text}, data: {self.data}" if self.data else text


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Raises InvalidParameter."""
    for option in options:
        if option not in _VALID:
            raise InvalidParameter(f'create {name}: invalid option: "{option}"')
    if options.get("size"):
        raise InvalidParameter(f"create {name}: quota size requested but no quota support")
    if options:
        for option in _REQUIRED:
            if not options.get(option):
                raise InvalidParameter(f'create {name}: missing required option: "{option}"')


def plan_mount(options: Mapping[str, str]) -> MountCall | None:
    """None: a plain folder, nothing is mounted."""
    if not options.get("device"):
        return None
    flags = propagation = 0
    data = []
    for word in options.get("o", "").split(","):
        if word in _FLAGS:
            clears, flag = _FLAGS[word]
            flags = flags & ~flag if clears else flags | flag
        elif word in _PROPAGATIONS:
            propagation = _PROPAGATIONS[word]
        elif word:
            data.append(word)
    return MountCall(options["device"], options["type"], flags, propagation, ",".join(data))


def host_to_resolve(call: MountCall) -> str:
    """The name in `addr=` of a network file system, for the kernel takes numbers only; "" when there is none."""
    if call.kind not in ("nfs", "nfs4", "cifs"):
        return ""
    address = _address(call.data)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return address
    return ""


def with_address(call: MountCall, address: str) -> MountCall:
    words = [
        f"addr={address}" if word.startswith("addr=") else word for word in call.data.split(",")
    ]
    return call._replace(data=",".join(words))


def _address(data: str) -> str:
    return next((w.removeprefix("addr=") for w in data.split(",") if w.startswith("addr=")), "")
