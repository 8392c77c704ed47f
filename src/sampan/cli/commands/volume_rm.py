"""`volume rm`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.each import for_each
from sampan.cli.flags import Flag
from sampan.cli.kinds import SWITCH
from sampan.cli.names import volume_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("force", "f", SWITCH, "Do not mind those that are not there", default=False, since="1.25"),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    query = {"force": True} if values["force"] else None
    return for_each(arguments, lambda name: app.client.delete(volume_path(name), query))
