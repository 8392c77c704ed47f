"""`wait`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.waiting import Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS: tuple[Flag, ...] = ()


def run(app: App, values: Values, arguments: list[str]) -> int:
    errors = []
    for name in arguments:
        try:
            output.out(f"{Wait(app.client, name, '').answer()['StatusCode']}\n")
        except Failure as failure:
            errors.append(str(failure))
    if errors:
        raise Failure("\n".join(errors))
    return 0
