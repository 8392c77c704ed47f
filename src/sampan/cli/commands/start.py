"""`start`, and with -a or -i the container's streams."""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.commands.run import attach_container, stream, with_signals
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.names import container_path
from sampan.cli.tty import follow_size
from sampan.cli.waiting import wait_for_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

FLAGS = (
    Flag("attach", "a", SWITCH, "Show its output and pass signals on", default=False),
    Flag("detach-keys", "", STRING, "Keys that detach from the container", default=""),
    Flag("interactive", "i", SWITCH, "Connect its standard input", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    if not values["attach"] and not values["interactive"]:
        return _start_all(app, arguments)
    if len(arguments) > 1:
        raise Failure("you cannot start and attach multiple containers at once")
    container = app.client.get(container_path(arguments[0], "/json"))

    def go() -> int:
        return _start_and_stream(app, values, container)

    return go() if container["Config"]["Tty"] else with_signals(app, container["Id"], go)


def _start_all(app: App, names: list[str]) -> int:
    failed = []
    for name in names:
        try:
            app.client.call("POST", container_path(name, "/start")).read()
        except Failure as failure:
            output.error(f"{failure}\n")
            failed.append(name)
        else:
            output.out(f"{name}\n")
    if failed:
        raise Failure(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _start_and_stream(app: App, values: Values, container: dict[str, Any]) -> int:
    identity, tty = container["Id"], container["Config"]["Tty"]
    removes = container["HostConfig"]["AutoRemove"]
    keys = values["detach-keys"] or app.config.text("detachKeys")
    stdin = values["interactive"] and container["Config"]["OpenStdin"]
    attach = {"stdin": stdin, "stdout": True, "stderr": True}
    connection = attach_container(app, identity, attach, keys)
    waiting = wait_for_exit(app.client, identity, removed=removes)
    try:
        app.client.call("POST", container_path(identity, "/start")).read()
    except Failure:
        if removes:
            waiting.exit_code()
        raise
    if tty:
        follow_size(app.client, "containers", identity)
    if not stream(connection, attach, tty=tty, keys=keys):
        return 0
    return waiting.exit_code()
