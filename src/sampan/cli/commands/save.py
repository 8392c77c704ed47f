"""`save`: images as one archive."""

from __future__ import annotations

from sampan.cli.archives import check_output, receive
from sampan.cli.command import App
from sampan.cli.commands.rmi import platform_json
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("output", "o", STRING, "Write to this file instead of standard output", default=""),
    Flag(
        "platform",
        "",
        STRING,
        'Save only this platform\'s variant ("os[/arch[/variant]]")',
        default="",
        since="1.48",
    ),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    platform = platform_json(values["platform"]) if values["platform"] else None
    check_output("save image", values["output"])
    query = {"names": list(arguments), "platform": platform}
    receive(lambda: app.client.stream("GET", "/images/get", query), values["output"])
    return 0
