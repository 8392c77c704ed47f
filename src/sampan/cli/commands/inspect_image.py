"""`image inspect`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.commands.rmi import platform_json
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT
from sampan.cli.inspecting import inspect_all
from sampan.cli.kinds import STRING
from sampan.cli.names import image_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("format", "f", STRING, FORMAT, default=""),
    Flag(
        "platform",
        "",
        STRING,
        'Show this platform\'s variant ("os[/arch[/variant]]")',
        default="",
        since="1.49",
    ),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    query = {"platform": platform_json(values["platform"]) if values["platform"] else None}
    return inspect_all(
        arguments,
        values["format"],
        lambda name: ("image", app.client.get_text(image_path(name, "/json"), query)),
    )
