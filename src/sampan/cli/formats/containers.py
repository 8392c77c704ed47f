"""Containers as rows of `ps`."""

from __future__ import annotations

import time

from sampan.cli.formats.ports import show_ports
from sampan.cli.formats.table import QUIET, TABLE, ellipsis, short_id
from sampan.cli.moments import format_local
from sampan.cli.units import human_duration, human_size
from sampan.spec.goquote import go_quote
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_RAW = """\
container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
"""
HEADERS = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}


def container_format(source: str, *, quiet: bool, size: bool) -> str:
    """A named format in full."""
    if source == "raw":
        if quiet:
            return "container_id: {{.ID}}"
        return _RAW + ("size: {{.Size}}\n" if size else "")
    if quiet:
        return QUIET
    if source in (TABLE, ""):
        columns = (*_COLUMNS, "Size") if size else _COLUMNS
        return f"{TABLE} " + "\t".join(f"{{{{.{name}}}}}" for name in columns)
    return source


class ContainerRow(Record):
    type_name = "*formatter.ContainerContext"

    def __init__(self, container: dict[str, Any], *, truncate: bool) -> None:
        self._c = container
        self._truncate = truncate

    def columns(self) -> dict[str, Callable[..., Any]]:
        return {
            "ID": lambda: short_id(self._c["Id"]) if self._truncate else self._c["Id"],
            "Names": self._names,
            "Image": self._image,
            "Command": self._command,
            "CreatedAt": lambda: format_local(self._c["Created"]),
            "RunningFor": lambda: f"{human_duration(time.time() - self._c['Created'])} ago",
            "Ports": lambda: show_ports(self._c.get("Ports") or []),
            "State": lambda: self._c.get("State", ""),
            "Status": lambda: self._c.get("Status", ""),
            "Size": self._size,
            "Labels": lambda: ",".join(sorted(f"{k}={v}" for k, v in self._labels().items())),
            "Label": lambda name: self._labels().get(name, ""),
            "Mounts": self._mounts,
            "LocalVolumes": lambda: str(
                sum(m.get("Driver") == "local" for m in self._all_mounts())
            ),
            "Networks": self._networks,
            "Platform": self._platform,
        }

    def hidden(self) -> frozenset[str]:
        return frozenset(("Label",))

    def _labels(self) -> dict[str, str]:
        return self._c.get("Labels") or {}

    def _all_mounts(self) -> list[dict[str, Any]]:
        return self._c.get("Mounts") or []

    def _names(self) -> str:
        names = [name.removeprefix("/") for name in self._c.get("Names") or []]
        if not self._truncate:
            return ",".join(names)
        # A name with a slash inside is a link in another container.
        return next((name for name in names if "/" not in name), "")

    def _image(self) -> str:
        image: str = self._c.get("Image") or ""
        if not image:
            return "<no image>"
        if not self._truncate:
            return image
        short = short_id(self._c.get("ImageID") or "")
        if short == short_id(image):
            return short
        return _without_digest(image)

    def _command(self) -> str:
        command = self._c.get("Command") or ""
        return go_quote(ellipsis(command, 20) if self._truncate else command)

    def _size(self) -> str:
        used = human_size(self._c.get("SizeRw") or 0, 3)
        total = self._c.get("SizeRootFs") or 0
        return f"{used} (virtual {human_size(total, 3)})" if total > 0 else used

    def _mounts(self) -> str:
        names = [mount.get("Name") or mount.get("Source", "") for mount in self._all_mounts()]
        return ",".join(ellipsis(name, 15) if self._truncate else name for name in names)

    def _networks(self) -> str:
        return ",".join((self._c.get("NetworkSettings") or {}).get("Networks") or {})

    def _platform(self) -> str | None:
        descriptor = self._c.get("ImageManifestDescriptor") or {}
        platform = descriptor.get("platform")
        if not platform:
            return None
        parts = (platform.get(key) for key in ("os", "architecture", "variant"))
        return "/".join(part for part in parts if part)


def _without_digest(image: str) -> str:
    """The name people know, without the digest behind it."""
    if "@" not in image and "/" not in image:
        return image
    from sampan.errors import InvalidParameter
    from sampan.spec.reference import Reference, parse

    try:
        reference = parse(image, default_tag=None)
    except InvalidParameter:
        return image
    return Reference(reference.domain, reference.path, reference.tag).familiar()
