"""Published ports as rows of `ports`."""

from __future__ import annotations

from sampan.cli.formats.table import TABLE
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEADERS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "Port": "PORT",
    "Reach": "REACHED FROM",
    "Interfaces": "INTERFACES",
    "Rule": "RULE",
    "Way": "WAY",
}
_PLAIN = "{{.Name}}\t{{.Port}}"


def port_format(source: str, *, exposed: bool) -> str:
    """A named format in full."""
    if source in ("", TABLE):
        more = "\t{{.Reach}}\t{{.Interfaces}}\t{{.Rule}}" if exposed else ""
        return f"{TABLE} {_PLAIN}{more}"
    return source


class PortRow(Record):
    type_name = "*formatter.portContext"

    def __init__(self, port: dict[str, Any]) -> None:
        self._port = port

    def columns(self) -> dict[str, Callable[..., Any]]:
        port = self._port
        return {
            "ID": lambda: port["ID"][:12],
            "Name": lambda: port["Name"],
            "Port": lambda: _shown(port),
            "Reach": lambda: port.get("Reach", ""),
            "Interfaces": lambda: _ways(port.get("Interfaces") or []),
            "Rule": lambda: port.get("Rule", ""),
            "Way": lambda: port.get("Way", ""),
        }


def _shown(port: dict[str, Any]) -> str:
    host = f"[{port['HostIp']}]" if ":" in port["HostIp"] else port["HostIp"]
    return f"{host}:{port['HostPort']}->{port['ContainerPort']}/{port['Protocol']}"


def _ways(ways: list[dict[str, Any]]) -> str:
    """`lo, eth0, not wan0`"""
    words = {"yes": "", "no": "not ", "depends": "maybe "}
    return ", ".join(f"{words[way['Reach']]}{way['Name']}" for way in ways)
