"""`load`: images out of an archive."""

from __future__ import annotations

import os

from sampan.cli.command import App
from sampan.cli.commands.import_ import read_file
from sampan.cli.commands.rmi import platform_json
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.output import STDOUT, write_all
from sampan.cli.progress import show_messages
from sampan.cli.terminal import STDIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("input", "i", STRING, "Read this file instead of standard input", default=""),
    Flag(
        "platform",
        "",
        STRING,
        'Load only this platform\'s variant ("os[/arch[/variant]]")',
        default="",
        since="1.48",
    ),
    Flag("quiet", "q", SWITCH, "Do not show progress", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    path = values["input"]
    body = read_file(path or None)
    # A terminal has no archive to give.
    if not path and os.isatty(STDIN):
        raise Failure("requested load from stdin, but stdin is empty")
    query = {
        "quiet": values["quiet"] or not os.isatty(STDOUT),
        "platform": platform_json(values["platform"]) if values["platform"] else None,
    }
    headers = {"Content-Type": "application/x-tar"}
    response = app.client.stream("POST", "/images/load", query, body=body, headers=headers)
    if response.headers.get("content-type") == "application/json":
        show_messages(response, STDOUT)
        return 0
    for piece in response.pieces():
        write_all(STDOUT, piece)
    return 0
