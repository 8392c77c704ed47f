"""`top`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.names import container_path
from sampan.cli.tabwriter import align

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS: tuple[Flag, ...] = ()


def run(app: App, values: Values, arguments: list[str]) -> int:
    query = {"ps_args": " ".join(arguments[1:]) or None}
    answer = app.client.get(container_path(arguments[0], "/top"), query)
    rows = [answer["Titles"], *answer["Processes"]]
    output.out(align("".join("\t".join(row) + "\n" for row in rows), minimum=20))
    return 0
