"""`create`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.container.create import build_body, create_container
from sampan.cli.container.flags import CREATE_FLAGS as FLAGS
from sampan.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

__all__ = ["FLAGS", "run"]


def run(app: App, values: Values, arguments: list[str]) -> int:
    try:
        body = build_body(app, values, arguments)
    except ValueError as error:
        text = f"sampan: {error}\n\nRun 'sampan create --help' for more information"
        raise Failure(text, 125) from None
    output.out(f"{create_container(app, values, body)}\n")
    return 0
