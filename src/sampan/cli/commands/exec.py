"""`exec`: a further process in a container."""

from __future__ import annotations

from sampan.cli import exec_own, terminal
from sampan.cli.client import segment
from sampan.cli.command import App
from sampan.cli.commands.run import stream
from sampan.cli.container.files import read_environment
from sampan.cli.container.kinds import ENV
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import LIST, STRING, SWITCH
from sampan.cli.names import container_path
from sampan.cli.tty import check_terminal, follow_size
from sampan.cli.units import DURATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

_KILLED = 137
_TIMED_OUT = 124  # as timeout(1)

FLAGS = (
    Flag(
        "die-with-client",
        "",
        SWITCH,
        "Kill it, and all it has started, when this command ends (not in docker)",
        default=False,
    ),
    Flag("detach", "d", SWITCH, "Leave it running and return", default=False),
    Flag("detach-keys", "", STRING, "Keys that detach from the process", default=""),
    Flag("env", "e", ENV, "Set a variable in the environment"),
    Flag("env-file", "", LIST, "Set the variables that stand in a file"),
    Flag("interactive", "i", SWITCH, "Connect standard input", default=False),
    Flag("privileged", "", SWITCH, "Allow the process nearly everything", default=False),
    Flag(
        "timeout",
        "",
        DURATION,
        "Kill it, and all it has started, after this time (not in docker)",
        default=0,
    ),
    Flag("tty", "t", SWITCH, "Give the process a terminal", default=False),
    Flag("user", "u", STRING, "User, by name or number (<name|uid>[:<group|gid>])", default=""),
    Flag("workdir", "w", STRING, "Working directory", default=""),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    if exec_own.is_meant(app, arguments):
        return exec_own.run(app, arguments)
    if len(arguments) < 2:
        raise Failure(f"a container is called {arguments[0]}: say which command to run in it")
    body = _body(app, values, arguments[1:])
    # Looked at first: an exec that is created and then not started stays on the daemon's list.
    app.client.get(container_path(arguments[0], "/json"))
    if not values["detach"]:
        check_terminal(stdin=body["AttachStdin"], tty=body["Tty"])
    console = list(terminal.size()) if body["Tty"] and not app.client.is_older("1.42") else None
    if console is not None:
        body["ConsoleSize"] = console
    identity = app.client.post(container_path(arguments[0], "/exec"), None, body).get("Id")
    if not identity:
        raise Failure("exec ID empty")
    if values["timeout"] or values["die-with-client"]:
        limits = {"Timeout": values["timeout"], "DieWithClient": values["die-with-client"]}
        app.client.post(f"/sampan/execs/{segment(identity)}/limits", None, limits)
    start = {"Detach": values["detach"], "Tty": values["tty"]}
    if console is not None:
        start["ConsoleSize"] = console
    path = f"/exec/{segment(identity)}"
    if values["detach"]:
        app.client.post(f"{path}/start", None, start)
        return 0
    return _interact(app, values, body, identity, start)


def _body(app: App, values: Values, command: list[str]) -> dict[str, Any]:
    try:
        environment = read_environment(values["env-file"], values["env"])
    except ValueError as error:
        raise Failure(str(error)) from None
    attached = not values["detach"]
    return {
        "User": values["user"],
        "Privileged": values["privileged"],
        "Tty": values["tty"],
        "AttachStdin": values["interactive"] and attached,
        "AttachStderr": attached,
        "AttachStdout": attached,
        "Detach": values["detach"],
        "DetachKeys": values["detach-keys"] or app.config.text("detachKeys"),
        "Env": environment or None,
        "WorkingDir": values["workdir"],
        "Cmd": command,
    }


def _interact(
    app: App, values: Values, body: dict[str, Any], identity: str, start: dict[str, Any]
) -> int:
    attach = {name: body[f"Attach{name.capitalize()}"] for name in ("stdin", "stdout", "stderr")}
    path = f"/exec/{segment(identity)}"
    connection = app.client.hijack(f"{path}/start", None, start)
    if values["tty"]:
        follow_size(app.client, "exec", identity)
    if not stream(connection, attach, tty=values["tty"], keys=body["DetachKeys"]):
        raise Failure("read escape sequence")
    code: int = app.client.get(f"{path}/json")["ExitCode"]
    if values["timeout"] and code == _KILLED:
        reason = app.client.get(f"/sampan/execs/{segment(identity)}")["Reason"]
        if reason == "timeout":
            raise Failure("the process was killed: its time was over", _TIMED_OUT)
    return code
