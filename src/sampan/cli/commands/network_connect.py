"""`network connect`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.container.kinds import LINK
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import INT, STRING, STRINGS
from sampan.cli.names import network_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("alias", "", STRINGS, "Another name of the container in the network"),
    Flag("driver-opt", "", STRINGS, "Set an option of the driver"),
    Flag(
        "gw-priority",
        "",
        INT,
        "The default route goes through the network with the highest",
        default=0,
        since="1.48",
    ),
    Flag("ip", "", STRING, 'IPv4 address ("172.30.100.104")', default=""),
    Flag("ip6", "", STRING, 'IPv6 address ("2001:db8::33")', default=""),
    Flag("link", "", LINK, "Link to another container"),
    Flag("link-local-ip", "", STRINGS, "A link-local address of the container"),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    options = {}
    for text in values["driver-opt"]:
        key, equals, value = text.partition("=")
        if not equals:
            raise Failure("invalid key=value format in driver options")
        options[key] = value
    addresses = {
        "IPv4Address": values["ip"],
        "IPv6Address": values["ip6"],
        "LinkLocalIPs": values["link-local-ip"],
    }
    endpoint = {
        "IPAMConfig": {key: value for key, value in addresses.items() if value},
        "Links": values["link"] or None,
        "Aliases": values["alias"],
        "DriverOpts": options,
        "GwPriority": values["gw-priority"],
    }
    body = {"Container": arguments[1], "EndpointConfig": endpoint}
    app.client.post(network_path(arguments[0], "/connect"), body=body)
    return 0
