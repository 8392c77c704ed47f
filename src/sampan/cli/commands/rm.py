"""`rm`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.each import Skipped, for_each
from sampan.cli.failure import DaemonError, Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import SWITCH
from sampan.cli.names import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("force", "f", SWITCH, "Kill it first if it runs", default=False),
    Flag("link", "l", SWITCH, "Remove the link of this name", default=False),
    Flag("volumes", "v", SWITCH, "Remove its anonymous volumes too", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    query = {"v": values["volumes"], "link": values["link"], "force": values["force"]}

    def remove(name: str) -> None:
        trimmed = name.strip("/")
        if not trimmed:
            raise Failure("container name cannot be empty")
        try:
            app.client.call("DELETE", container_path(trimmed), query).read()
        except DaemonError as error:
            if not values["force"] or error.status != 404:
                raise
            # Forced, what is not there is as good as removed: said, and no failure.
            output.error(f"{error}\n")
            raise Skipped from None

    return for_each(arguments, remove)
