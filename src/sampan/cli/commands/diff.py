"""`diff`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.names import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS: tuple[Flag, ...] = ()
_LETTERS = "CAD"  # changed, added, deleted: the API's numbers


def run(app: App, values: Values, arguments: list[str]) -> int:
    if not arguments[0]:
        raise Failure("Container name cannot be empty")
    changes = app.client.get(container_path(arguments[0], "/changes")) or []
    lines = (f"{_LETTERS[change['Kind']]} {change['Path']}\n" for change in changes)
    output.out("".join(lines))
    return 0
