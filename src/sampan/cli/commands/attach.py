"""`attach`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.commands.run import attach_container, status_of, stream, with_signals
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.names import container_path
from sampan.cli.tty import check_terminal, follow_size
from sampan.cli.waiting import Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

FLAGS = (
    Flag("detach-keys", "", STRING, "Keys that detach from the container", default=""),
    Flag("no-stdin", "", SWITCH, "Leave standard input alone", default=False),
    Flag("sig-proxy", "", SWITCH, "Pass signals on to the container", default=True, note="true"),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    name = arguments[0]
    waiting = Wait(app.client, name, "")
    container = inspect(app, name)
    check_terminal(stdin=not values["no-stdin"], tty=container["Config"]["Tty"])

    def go() -> int:
        return _stream(app, values, name, container, waiting)

    proxied = values["sig-proxy"] and not container["Config"]["Tty"]
    return with_signals(app, name, go) if proxied else go()


def inspect(app: App, name: str) -> dict[str, Any]:
    """The container, if one can attach to it. Raises Failure."""
    container: dict[str, Any] = app.client.get(container_path(name, "/json"))
    state = container["State"]
    if not state["Running"]:
        raise Failure("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise Failure("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise Failure("You cannot attach to a restarting container, wait until it is running")
    return container


def _stream(app: App, values: Values, name: str, container: dict[str, Any], waiting: Wait) -> int:
    tty = container["Config"]["Tty"]
    keys = values["detach-keys"] or app.config.text("detachKeys")
    stdin = not values["no-stdin"] and container["Config"]["OpenStdin"]
    attach = {"stdin": stdin, "stdout": True, "stderr": True}
    connection = attach_container(app, name, attach, keys)
    # It may have ended between the first look and the attach, which then would never end.
    inspect(app, name)
    if tty:
        follow_size(app.client, "containers", name)
    if not stream(connection, attach, tty=tty, keys=keys):
        raise Failure("read escape sequence")
    return status_of(waiting)
