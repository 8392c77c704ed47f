"""`export`: the file system of a container as an archive."""

from __future__ import annotations

from sampan.cli.archives import check_output, receive
from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING
from sampan.cli.names import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (Flag("output", "o", STRING, "Write to this file instead of standard output", default=""),)


def run(app: App, values: Values, arguments: list[str]) -> int:
    check_output("export container", values["output"])
    path = container_path(arguments[0], "/export")
    receive(lambda: app.client.stream("GET", path), values["output"])
    return 0
