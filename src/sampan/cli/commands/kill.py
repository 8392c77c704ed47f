"""`kill`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.each import for_each
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING
from sampan.cli.names import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (Flag("signal", "s", STRING, "Signal to send", default=""),)


def run(app: App, values: Values, arguments: list[str]) -> int:
    query = {"signal": values["signal"] or None}
    return for_each(
        arguments, lambda name: app.client.call("POST", container_path(name, "/kill"), query).read()
    )
