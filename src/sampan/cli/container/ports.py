"""`--publish` and `--expose`: `[ip:][host[-host]:]container[-container][/protocol]`."""

from __future__ import annotations

from sampan.cli.container.kinds import parse_address
from sampan.cli.kinds import parse_uint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROTOCOLS = ("tcp", "udp", "sctp")


def parse_published(texts: list[str]) -> dict[str, list[dict[str, str]]]:
    """`{"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}`"""
    bindings: dict[str, list[dict[str, str]]] = {}
    for text in texts:
        for port, binding in _mappings(_plain(text)):
            bindings.setdefault(port, []).append(binding)
    return bindings


def parse_exposed(texts: list[str]) -> dict[str, Any]:
    exposed: dict[str, Any] = {}
    for text in texts:
        if ":" in text:
            raise ValueError(f"invalid port format for --expose: {text}")
        ports, protocol = _split_protocol(text)
        try:
            first, last = _range(ports)
        except ValueError as error:
            raise ValueError(f"invalid range format for --expose: {text}, error: {error}") from None
        for port in range(first, last + 1):
            exposed[f"{port}/{protocol.lower()}"] = {}
    return exposed


def _plain(text: str) -> str:
    """The long form `target=80,published=8080,protocol=tcp` as the short one."""
    if "=" not in text:
        return text
    fields = {"protocol": "tcp", "published": "", "target": ""}
    for field in text.split(","):
        name, equals, value = field.partition("=")
        if not equals or not name:
            raise ValueError(
                f"invalid publish opts format (should be name=value but got '{field}')"
            )
        fields[name] = value
    return f"{fields['published']}:{fields['target']}/{fields['protocol']}"


def _mappings(text: str) -> list[tuple[str, dict[str, str]]]:
    address, host, container = _split(text)
    container, protocol = _split_protocol(container)
    address = _address(address)
    if not container:
        raise ValueError(f"no port specified: {text}<empty>")
    first, last = _named_range(container, "containerPort")
    host_first, host_last = _named_range(host, "hostPort") if host else (0, 0)
    if host and last - first != host_last - host_first and first != last:
        raise ValueError(
            f"invalid ranges specified for container and host Ports: {container} and {host}"
        )
    if protocol.lower() not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    found = []
    for offset in range(last - first + 1):
        host_port = str(host_first + offset) if host else ""
        if first == last and host_first != host_last:
            host_port += f"-{host_last}"
        binding = {"HostIp": address, "HostPort": host_port}
        found.append((f"{first + offset}/{protocol.lower()}", binding))
    return found


def _split(text: str) -> tuple[str, str, str]:
    *before, container = text.split(":")
    if len(before) < 2:
        return "", "".join(before), container
    return ":".join(before[:-1]), before[-1], container


def _address(text: str) -> str:
    plain = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if plain:
        try:
            parse_address(plain)
        except ValueError:
            raise ValueError(f"invalid IP address: {plain}") from None
    return plain


def _split_protocol(text: str) -> tuple[str, str]:
    parts = text.split("/")
    if not parts[0]:
        return "", ""
    return parts[0], parts[1] if len(parts) > 1 and parts[1] else "tcp"


def _named_range(text: str, name: str) -> tuple[int, int]:
    try:
        return _range(text)
    except ValueError:
        raise ValueError(f"invalid {name}: {text}") from None


def _range(text: str) -> tuple[int, int]:
    if not text:
        raise ValueError("empty string specified for ports")
    parts = text.split("-")
    first = _port(parts[0])
    last = _port(parts[1]) if len(parts) > 1 else first
    if last < first:
        raise ValueError(f"invalid range specified for port: {text}")
    return first, last


def _port(text: str) -> int:
    return parse_uint(text, 16, 10)
