"""`Mount`: the one way in which rooms speak of file systems. Whoever makes one never mounts it."""

from __future__ import annotations

from sampan.spec.typing import NamedTuple


class Mount(NamedTuple):
    """A mount as the OCI runtime-spec writes it (config.md, "Mounts").

    `type` is a file system type or "bind"; `source` a host path or a name; `options` are the words of
    mount(8) ("ro", "nosuid", "rbind", "rprivate", "lowerdir=..."); `destination` is the absolute path
    in the container, and empty for the root file system itself.
    An overlay has one `lowerdir=PATH` option a layer, topmost first (the kernel's `lowerdir+`).
    """

    type: str
    source: str
    options: tuple[str, ...] = ()
    destination: str = ""


PART = "sampan.subpath="
"""Option of an overlay that is an image's file system: only this part of it is mounted. Our own runtime's."""
