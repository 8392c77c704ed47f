"""`volume inspect`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT
from sampan.cli.inspecting import inspect_all
from sampan.cli.kinds import STRING
from sampan.cli.names import volume_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (Flag("format", "f", STRING, FORMAT, default=""),)


def run(app: App, values: Values, arguments: list[str]) -> int:
    return inspect_all(
        arguments,
        values["format"],
        lambda name: ("volume", app.client.get_text(volume_path(name))),
        typed=True,
    )
