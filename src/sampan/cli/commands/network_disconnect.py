"""`network disconnect`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.kinds import SWITCH
from sampan.cli.names import network_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (Flag("force", "f", SWITCH, "Even if the container is not there any more", default=False),)


def run(app: App, values: Values, arguments: list[str]) -> int:
    body = {"Container": arguments[1], "Force": values["force"]}
    app.client.post(network_path(arguments[0], "/disconnect"), body=body)
    return 0
