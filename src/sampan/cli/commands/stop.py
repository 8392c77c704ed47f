"""`stop`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.each import for_each
from sampan.cli.flags import Flag
from sampan.cli.kinds import INT, STRING
from sampan.cli.names import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("signal", "s", STRING, "Signal that asks the container to stop", default=""),
    Flag("timeout", "t", INT, "Seconds to wait before it is killed", default=0),
    Flag("time", "", INT, "The same, as it was called before", default=0, hidden=True),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    return stop(app, values, arguments, "/stop")


def stop(app: App, values: Values, arguments: list[str], action: str) -> int:
    """`stop` and `restart` differ in the path alone."""
    if values.changed("time"):
        output.out("Flag --time has been deprecated, use --timeout instead\n")
    seconds = None
    for flag in ("time", "timeout"):
        if values.changed(flag):
            seconds = values[flag]
    query = {"signal": values["signal"] or None, "t": seconds}
    return for_each(
        arguments, lambda name: app.client.call("POST", container_path(name, action), query).read()
    )
