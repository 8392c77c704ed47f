"""A container's ports in one column: `0.0.0.0:80->80/tcp, 1000-1002/udp`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def show_ports(ports: list[dict[str, Any]]) -> str:
    """Neighbouring ports that are published under their own number (or not at all) are one range."""
    ranges: dict[str, list[int]] = {}
    finished, mapped = [], []
    for port in sorted(ports, key=_order):
        address, private, kind = port.get("IP") or "", port["PrivatePort"], port["Type"]
        public = port.get("PublicPort") or 0
        if address and public != private:
            mapped.append(f"{_join(address, str(public))}->{private}/{kind}")
            continue
        key = f"{address}/{kind}" if address else kind
        current = ranges.get(key)
        if current is not None and private == current[1] + 1:
            current[1] = private
            continue
        if current is not None:
            finished.append(_range(key, current))
        ranges[key] = [private, private]
    finished += [_range(key, ranges[key]) for key in ranges]
    return ", ".join(finished + mapped)


def _order(port: dict[str, Any]) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP") or "", port.get("PublicPort") or 0, port["Type"]


def _range(key: str, bounds: list[int]) -> str:
    address, _, kind = key.rpartition("/")
    first, last = bounds
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{_join(address, numbers)}->{numbers}/{kind}" if address else f"{numbers}/{kind}"


def _join(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
