"""`ports`: sampan's own"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.published import HEADERS, PortRow, port_format
from sampan.cli.formats.table import print_rows
from sampan.cli.kinds import STRING, SWITCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values
    from sampan.spec.template.values import Record

FLAGS = (
    Flag(
        "exposed", "", SWITCH, "Show who can reach each port, and which rule decides", default=False
    ),
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    query = {"exposed": "1" if values["exposed"] else None}
    rows: list[Record] = [PortRow(row) for row in app.client.get("/sampan/ports", query) or []]
    print_rows(port_format(values["format"], exposed=values["exposed"]), rows, HEADERS)
    return 0
