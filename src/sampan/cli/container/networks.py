"""`--network` (short and long form) and the flags about the first network's endpoint."""

from __future__ import annotations

from sampan.cli.container import csv
from sampan.cli.kinds import Kind, parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

_HEX = frozenset("0123456789abcdefABCDEF")


class Attachment:
    """What the command line says about one network."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.aliases: list[str] = []
        self.driver_options: dict[str, str] = {}
        self.links: list[str] = []
        self.link_local: list[str] = []
        self.ipv4 = ""
        self.ipv6 = ""
        self.mac = ""
        self.priority = 0

    @property
    def is_user_defined(self) -> bool:
        return is_user_defined(self.target)


def is_user_defined(name: str) -> bool:
    return (
        name not in ("default", "bridge", "host", "none") and name.partition(":")[0] != "container"
    )


def parse_network(text: str) -> Attachment:
    """A name, or `name=x,alias=y,ip=…`. Raises ValueError with docker's text."""
    if not _is_long(text):
        return Attachment(text)
    attachment = Attachment("")
    for field in csv.split(text):
        name, equals, value = field.partition("=")
        if not equals or not name:
            raise ValueError(f"invalid field {field}")
        _take(attachment, name.strip().lower(), value.strip())
    if not attachment.target:
        raise ValueError("network name/id is not specified")
    return attachment


def build_endpoints(values: Values) -> tuple[str, dict[str, Any]]:
    """The network mode, and the endpoints by network. Raises ValueError."""
    named: list[Attachment] = values["network"]
    attachments = named or [Attachment("default")]
    endpoints: dict[str, Any] = {}
    for index, attachment in enumerate(attachments):
        if index == 0:
            _apply_flags(attachment, values)
        endpoint = _endpoint(attachment)
        if attachment.target in endpoints:
            raise ValueError(f'network "{attachment.target}" is specified multiple times')
        # A single network without options is left to the daemon, for old daemons' sake.
        if len(named) == 1 and endpoint == _EMPTY:
            continue
        endpoints[attachment.target] = endpoint
    if len({a.is_user_defined for a in attachments}) > 1:
        raise ValueError(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        )
    return attachments[0].target, endpoints


def check_mac(text: str) -> None:
    """Raises ValueError unless Go's net.ParseMAC takes the address (48 or 64 bits, or InfiniBand's 160)."""
    stripped = text.strip()
    if not any(_is_mac(stripped, *form) for form in ((":", 2), ("-", 2), (".", 4))):
        raise ValueError(f"{text} is not a valid mac address")


def _is_mac(text: str, separator: str, size: int) -> bool:
    parts = text.split(separator)
    return len(parts) * size // 2 in (6, 8, 20) and all(
        len(part) == size and set(part) <= _HEX for part in parts
    )


def _is_long(text: str) -> bool:
    """A word, an equals sign, a word."""
    left, equals, right = text.partition("=")
    return bool(equals and _is_word(left[-1:]) and _is_word(right[:1]))


def _is_word(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


def _take(attachment: Attachment, name: str, value: str) -> None:
    if name == "name":
        attachment.target = value
    elif name == "alias":
        attachment.aliases.append(value)
    elif name == "driver-opt":
        key, equals, option = value.partition("=")
        if not equals:
            raise ValueError("invalid key value pair format in driver options")
        attachment.driver_options[key.strip().lower()] = option.strip()
    elif name == "ip":
        attachment.ipv4 = value
    elif name == "ip6":
        attachment.ipv6 = value
    elif name == "mac-address":
        attachment.mac = value
    elif name == "link-local-ip":
        attachment.link_local.append(value)
    elif name == "gw-priority":
        try:
            attachment.priority = parse_int(value)
        except ValueError as error:
            raise ValueError(
                f"invalid gw-priority ({value}): {str(error).rpartition(': ')[2]}"
            ) from None
    else:
        raise ValueError(f"invalid field key {name}")


def _apply_flags(attachment: Attachment, values: Values) -> None:
    """`--ip`, `--network-alias` and their like mean the first network."""
    for given, flag, what in (
        (attachment.aliases, "network-alias", "--network-alias and per-network alias"),
        (attachment.ipv4, "ip", "--ip and per-network IPv4 address"),
        (attachment.ipv6, "ip6", "--ip6 and per-network IPv6 address"),
        (attachment.mac, "mac-address", "--mac-address and per-network MAC address"),
        (
            attachment.link_local,
            "link-local-ip",
            "--link-local-ip and per-network link-local IP addresses",
        ),
    ):
        if given and values[flag]:
            raise ValueError(f"conflicting options: cannot specify both {what}")
    attachment.aliases = values["network-alias"] or attachment.aliases
    # On the default bridge a link is a property of the container, elsewhere an alias on the endpoint.
    if attachment.is_user_defined:
        attachment.links = values["link"]
    attachment.ipv4 = values["ip"] or attachment.ipv4
    attachment.ipv6 = values["ip6"] or attachment.ipv6
    attachment.mac = values["mac-address"] or attachment.mac
    attachment.link_local = values["link-local-ip"] or attachment.link_local


_EMPTY: dict[str, Any] = {
    "IPAMConfig": None,
    "Links": None,
    "Aliases": None,
    "MacAddress": "",
    "DriverOpts": None,
    "GwPriority": 0,
    "NetworkID": "",
    "EndpointID": "",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "DNSNames": None,
}


def _endpoint(attachment: Attachment) -> dict[str, Any]:
    if not attachment.target.strip():
        raise ValueError("no name set for network")
    if not attachment.is_user_defined and attachment.aliases:
        raise ValueError("network-scoped aliases are only supported for user-defined networks")
    if attachment.mac:
        check_mac(attachment.mac)
    addresses = {
        "IPv4Address": attachment.ipv4,
        "IPv6Address": attachment.ipv6,
        "LinkLocalIPs": attachment.link_local,
    }
    return _EMPTY | {
        "IPAMConfig": {key: value for key, value in addresses.items() if value} or None,
        "Links": attachment.links or None,
        "Aliases": attachment.aliases or None,
        "MacAddress": attachment.mac,
        "DriverOpts": attachment.driver_options or None,
        "GwPriority": attachment.priority,
    }


NETWORK = Kind("network", parse_network, many=True)
