"""`history`: the steps that an image was made in."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.commands.rmi import platform_json
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.history import HEADERS, HistoryRow, history_format
from sampan.cli.formats.table import TABLE, print_rows
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.names import image_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values
    from sampan.spec.template.values import Record

FLAGS = (
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("human", "H", SWITCH, "Show sizes and dates as people write them", default=True),
    Flag("no-trunc", "", SWITCH, "Show everything in full length", default=False),
    Flag(
        "platform",
        "",
        STRING,
        'Show this platform\'s variant ("os[/arch[/variant]]")',
        default="",
        since="1.48",
    ),
    Flag("quiet", "q", SWITCH, "Show ids only", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    platform = platform_json(values["platform"]) if values["platform"] else None
    steps = app.client.get(image_path(arguments[0], "/history"), {"platform": platform}) or []
    human = values["human"]
    source = history_format(values["format"] or TABLE, quiet=values["quiet"], human=human)
    rows: list[Record] = [
        HistoryRow(step, human=human, truncate=not values["no-trunc"]) for step in steps
    ]
    print_rows(source, rows, HEADERS)
    return 0
