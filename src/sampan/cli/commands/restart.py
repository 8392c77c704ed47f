"""`restart`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.commands.stop import FLAGS, stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

__all__ = ["FLAGS", "run"]


def run(app: App, values: Values, arguments: list[str]) -> int:
    return stop(app, values, arguments, "/restart")
