"""Networks as rows of `network ls`."""

from __future__ import annotations

from sampan.cli.formats.table import QUIET, TABLE, short_id
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


def network_format(source: str, *, quiet: bool) -> str:
    """A named format in full."""
    if source in ("", TABLE):
        return (
            QUIET
            if quiet
            else f"{TABLE} {{{{.ID}}}}\t{{{{.Name}}}}\t{{{{.Driver}}}}\t{{{{.Scope}}}}"
        )
    if source == "raw":
        if quiet:
            return "network_id: {{.ID}}"
        return "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n"
    return source


class NetworkRow(Record):
    type_name = "*network.networkContext"

    def __init__(self, network: dict[str, Any], *, truncate: bool) -> None:
        self._network = network
        self._truncate = truncate

    def hidden(self) -> frozenset[str]:
        return frozenset(("Label",))

    def columns(self) -> dict[str, Callable[..., Any]]:
        network = self._network
        labels: dict[str, str] = network.get("Labels") or {}
        return {
            "ID": lambda: short_id(network["Id"]) if self._truncate else network["Id"],
            "Name": lambda: network["Name"],
            "Driver": lambda: network["Driver"],
            "Scope": lambda: network["Scope"],
            "IPv4": lambda: _word(network.get("EnableIPv4", True)),
            "IPv6": lambda: _word(network["EnableIPv6"]),
            "Internal": lambda: _word(network["Internal"]),
            "Labels": lambda: ",".join(sorted(f"{k}={v}" for k, v in labels.items())),
            "Label": lambda name: labels.get(name, ""),
            "CreatedAt": lambda: _moment(network["Created"]),
        }


def _moment(text: str) -> str:
    """As Go prints a time: `2026-11-24 10:56:18.78 +0000 UTC`."""
    day, _, rest = text.partition("T")
    clock = rest.rstrip("Z")
    if "." in clock:
        clock = clock.rstrip("0").rstrip(".")
    return f"{day} {clock} +0000 UTC"


def _word(value: bool) -> str:
    return "true" if value else "false"
