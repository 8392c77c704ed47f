"""`network rm`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.failure import DaemonError
from sampan.cli.flags import Flag
from sampan.cli.kinds import SWITCH
from sampan.cli.names import network_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (Flag("force", "f", SWITCH, "Do not mind those that are not there", default=False),)


def run(app: App, values: Values, arguments: list[str]) -> int:
    """As docker: each failure is said at once, and the last word is only the status."""
    failed = False
    for name in arguments:
        try:
            app.client.delete(network_path(name))
        except DaemonError as error:
            if values["force"] and error.status == 404:
                continue
            output.error(f"{error}\n")
            failed = True
            continue
        output.out(f"{name}\n")
    if failed:
        output.error("exit status 1\n")
    return 1 if failed else 0
