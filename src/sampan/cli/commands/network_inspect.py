"""`network inspect`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT
from sampan.cli.inspecting import inspect_all
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.names import network_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("format", "f", STRING, FORMAT, default=""),
    Flag("verbose", "v", SWITCH, "Show what helps to find faults", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    query = {"verbose": True} if values["verbose"] else None
    return inspect_all(
        arguments,
        values["format"],
        lambda name: ("network", app.client.get_text(network_path(name), query)),
    )
