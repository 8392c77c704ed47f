"""`system fsck`: whether everything in the store is whole. A command of sampan's own; docker has none."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.failure import DaemonError, Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import SWITCH
from sampan.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (Flag("repair", "", SWITCH, "Do what can be done about what is found", default=False),)


def run(app: App, values: Values, arguments: list[str]) -> int:
    """1 when something is left that is not whole."""
    try:
        report = app.client.post("/system/fsck", {"repair": values["repair"]})
    except DaemonError as error:
        if error.status == 404:
            raise Failure("this daemon has no fsck: it is not sampand") from None
        raise
    problems = report["Problems"]
    for problem in problems:
        done = " (repaired)" if problem["Repaired"] else ""
        out(f"{problem['Kind']}: {problem['Object']}: {problem['Detail']}{done}\n")
    counts = f"{report['Images']} images, {report['Layers']} layers, {report['Blobs']} blobs"
    found = f"{len(problems)} problems" if len(problems) != 1 else "1 problem"
    out(f"Checked {counts}: {found if problems else 'everything is whole'}\n")
    return 1 if any(not problem["Repaired"] for problem in problems) else 0
