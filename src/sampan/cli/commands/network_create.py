"""`network create`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.container.kinds import LABEL
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, STRINGS, SWITCH, Kind
from sampan.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network
    from typing import Any

    from sampan.cli.flags import Values

OPTION = Kind("map", lambda text: (text.partition("=")[0], text.partition("=")[2]), many=True)
FLAGS = (
    Flag(
        "attachable", "", SWITCH, "Let containers be connected by hand", default=False, since="1.25"
    ),
    Flag("aux-address", "", OPTION, "An address that no container gets", note="map[]"),
    Flag(
        "config-from",
        "",
        STRING,
        "Take the configuration of this network",
        default="",
        since="1.30",
    ),
    Flag("config-only", "", SWITCH, "Make only a configuration", default=False, since="1.30"),
    Flag("driver", "d", STRING, "Driver of the network", default="bridge"),
    Flag("gateway", "", STRINGS, "Address of the gateway in its subnet"),
    Flag("ingress", "", SWITCH, "Make the routing mesh of a swarm", default=False, since="1.29"),
    Flag("internal", "", SWITCH, "No way out of the network", default=False),
    Flag("ip-range", "", STRINGS, "Part of the subnet that containers get addresses of"),
    Flag("ipam-driver", "", STRING, "Driver that gives addresses", default="default"),
    Flag("ipam-opt", "", OPTION, "Set an option of that driver", note="map[]"),
    Flag("ipv4", "", SWITCH, "Give IPv4 addresses", default=True, note="true"),
    Flag("ipv6", "", SWITCH, "Give IPv6 addresses too", default=False),
    Flag("label", "", LABEL, "Add a label"),
    Flag("opt", "o", OPTION, "Set an option of the driver", note="map[]"),
    Flag("scope", "", STRING, "Scope of the network", default="", since="1.30"),
    Flag("subnet", "", STRINGS, "A subnet of the network, in CIDR notation"),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    body: dict[str, Any] = {
        "Name": arguments[0],
        "Driver": values["driver"],
        "Scope": values["scope"],
        "Options": dict(values["opt"]),
        "IPAM": {
            "Driver": values["ipam-driver"],
            "Config": subnets(values),
            "Options": dict(values["ipam-opt"]),
        },
        "Internal": values["internal"],
        "Ingress": values["ingress"],
        "Attachable": values["attachable"],
        "ConfigOnly": values["config-only"],
        "ConfigFrom": {"Network": values["config-from"]} if values["config-from"] else None,
        "Labels": {key: value for key, _, value in (t.partition("=") for t in values["label"])},
        **({"EnableIPv4": values["ipv4"]} if values.changed("ipv4") else {}),
        **({"EnableIPv6": values["ipv6"]} if values.changed("ipv6") else {}),
    }
    out(f"{app.client.post('/networks/create', body=body)['Id']}\n")
    return 0


def subnets(values: Values) -> list[dict[str, Any]]:
    """Each subnet with the gateway, range and addresses that are in it. Raises Failure with docker's texts."""
    given: list[str] = values["subnet"]
    if len(given) < len(values["ip-range"]) or len(given) < len(values["gateway"]):
        raise Failure("every ip-range or gateway must have a corresponding subnet")
    found: dict[str, dict[str, Any]] = {}
    for text in given:
        for other in found:
            if _overlap(text, other):
                raise Failure("multiple overlapping subnet configuration is not supported")
        found[text] = {"Subnet": text}
    for key, flag, what in (("IPRange", "ip-range", "range"), ("Gateway", "gateway", "gateway")):
        for text in values[flag]:
            subnet = _subnet_of(found, text)
            if subnet is None:
                raise Failure(f"no matching subnet for {what} {text}")
            if key in subnet:
                raise Failure(
                    f"cannot configure multiple {what}s ({text}, {subnet[key]}) on the same subnet ({subnet['Subnet']})"
                )
            subnet[key] = text
    for name, text in values["aux-address"]:
        subnet = _subnet_of(found, text)
        if subnet is None:
            raise Failure(f"no matching subnet for aux-address {text}")
        subnet.setdefault("AuxiliaryAddresses", {})[name] = text
    return list(found.values())


def _network(text: str) -> IPv4Network | IPv6Network | None:
    from ipaddress import ip_network

    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None  # the daemon says what is wrong with it


def _overlap(one: str, other: str) -> bool:
    first, second = _network(one), _network(other)
    return (
        first is not None
        and second is not None
        and first.version == second.version
        and first.overlaps(second)
    )


def _subnet_of(found: dict[str, dict[str, Any]], text: str) -> dict[str, Any] | None:
    inner = _network(text)
    for key, subnet in found.items():
        network = _network(key)
        if network is not None and inner is not None and inner.network_address in network:
            return subnet
    return None
