"""`rename`"""

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


def run(app: App, values: Values, arguments: list[str]) -> int:
    old, new = (argument.strip() for argument in arguments)
    if not old or not new:
        raise Failure("Error: Neither old nor new names may be empty")
    try:
        app.client.call("POST", container_path(old, "/rename"), {"name": new}).read()
    except Failure as failure:
        output.error(f"{failure}\n")
        raise Failure(f"Error: failed to rename container named {old}") from None
    return 0
