"""Volumes as rows of `volume ls`."""

from __future__ import annotations

from sampan.cli.formats.table import TABLE
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEADERS = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Availability": "AVAILABILITY",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Group": "GROUP",
    "Status": "STATUS",
}
_NOT_KNOWN = "N/A"  # what only a swarm, or `system df`, says


def volume_format(source: str, *, quiet: bool) -> str:
    """A named format in full."""
    if source in ("", TABLE):
        return "{{.Name}}" if quiet else f"{TABLE} {{{{.Driver}}}}\t{{{{.Name}}}}"
    if source == "raw":
        return "name: {{.Name}}" + ("" if quiet else "\ndriver: {{.Driver}}\n")
    return source


class VolumeRow(Record):
    type_name = "*formatter.volumeContext"

    def __init__(self, volume: dict[str, Any]) -> None:
        self._volume = volume

    def hidden(self) -> frozenset[str]:
        return frozenset(("Label",))

    def columns(self) -> dict[str, Callable[..., Any]]:
        volume = self._volume
        labels: dict[str, str] = volume.get("Labels") or {}
        return {
            "Name": lambda: volume["Name"],
            "Driver": lambda: volume["Driver"],
            "Scope": lambda: volume["Scope"],
            "Mountpoint": lambda: volume["Mountpoint"],
            "Labels": lambda: ",".join(sorted(f"{k}={v}" for k, v in labels.items())),
            "Label": lambda name: labels.get(name, ""),
            **dict.fromkeys(
                ("Availability", "Group", "Links", "Size", "Status"), lambda: _NOT_KNOWN
            ),
        }
