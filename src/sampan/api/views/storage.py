"""Where a container's or an image's files are (`GraphDriver`), and volumes, as the API shows them."""

from __future__ import annotations

from typing import Any

from sampan.spec.mount import Mount
from sampan.store.volumes import Volume, Volumes

_KEYS = {"upperdir": "UpperDir", "workdir": "WorkDir"}


def graph_driver(name: str, mounts: list[Mount], *, pid: int = 0) -> dict[str, Any]:
    """From the mount of the root file system. No mount of it exists on the host: what runs is seen by its process."""
    data: dict[str, str] = {}
    for mount in mounts[:1]:
        lower = [word[9:] for word in mount.options if word.startswith("lowerdir=")]
        if lower:
            data["LowerDir"] = ":".join(lower)
        for option in mount.options:
            word, _, path = option.partition("=")
            if word in _KEYS:
                data[_KEYS[word]] = path
        if mount.type == "bind":
            data["UpperDir"] = mount.source
    if pid:
        data["MergedDir"] = f"/proc/{pid}/root"
    return {"Data": data or None, "Name": name}


def volume_view(volumes: Volumes, volume: Volume) -> dict[str, Any]:
    return {
        "CreatedAt": volume.created_at,
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": volumes.mountpoint(volume.name),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
    }
