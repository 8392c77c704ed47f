"""`run`: create, attach, wait, start, and the container's streams and exit code as one's own."""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.container.create import build_body, create_container
from sampan.cli.container.flags import RUN_FLAGS as FLAGS
from sampan.cli.failure import Failure
from sampan.cli.names import container_path
from sampan.cli.signals import Forwarding
from sampan.cli.tty import check_terminal, follow_size, quietly
from sampan.cli.waiting import Wait, wait_for_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sampan.cli.flags import Values
    from sampan.cli.http import Connection

__all__ = ["FLAGS", "run"]

_NOT_FOUND = (
    "executable file not found",
    "no such file or directory",
    "system cannot find the file specified",
)
_NOT_RUNNABLE = ("permission denied", "is a directory")


def run(app: App, values: Values, arguments: list[str]) -> int:
    try:
        body = build_body(app, values, arguments)
    except ValueError as error:
        raise with_help(str(error), "run", 125) from None
    attach = _attachments(values, body)
    try:
        container = create_container(app, values, body)
    except Failure as failure:
        raise start_failure(failure) from None

    def go() -> int:
        return _start_and_stream(app, values, body, container, attach)

    try:
        return with_signals(app, container, go) if values["sig-proxy"] else go()
    finally:
        if values["detach"]:
            output.out(f"{container}\n")


def _attachments(values: Values, body: dict[str, Any]) -> dict[str, bool]:
    if values["detach"]:
        if values["attach"]:
            raise Failure("conflicting options: cannot specify both --attach and --detach")
        body.update(AttachStdin=False, AttachStdout=False, AttachStderr=False, StdinOnce=False)
    else:
        check_terminal(stdin=body["AttachStdin"], tty=body["Tty"])
    return {name: body[f"Attach{name.capitalize()}"] for name in ("stdin", "stdout", "stderr")}


def _start_and_stream(
    app: App, values: Values, body: dict[str, Any], container: str, attach: dict[str, bool]
) -> int:
    keys = values["detach-keys"] or app.config.text("detachKeys")
    connection = attach_container(app, container, attach, keys) if any(attach.values()) else None
    waiting = wait_for_exit(app.client, container, removed=values["rm"])
    try:
        app.client.call("POST", container_path(container, "/start")).read()
    except Failure as failure:
        if values["rm"]:
            waiting.exit_code()
        raise start_failure(failure) from None
    if connection is None:
        return 0
    if body["Tty"]:
        follow_size(app.client, "containers", container)
    finished = stream(connection, attach, tty=body["Tty"], keys=keys)
    return waiting.exit_code() if finished else 0


def attach_container(app: App, container: str, attach: dict[str, bool], keys: str) -> Connection:
    query = {"stream": True, "detachKeys": keys or None, **attach}
    return app.client.hijack(container_path(container, "/attach"), query)


def stream(connection: Connection, attach: dict[str, bool], *, tty: bool, keys: str) -> bool:
    """Run the streams to their end; False when the user detached."""
    from sampan.cli.streams import Streams

    return Streams(connection, tty=tty, detach_keys=keys, **attach).run()


def with_signals(app: App, container: str, action: Callable[[], int]) -> int:
    """Run the action while our signals go to the container."""
    path = container_path(container, "/kill")
    with Forwarding(lambda name: quietly(app.client, path, {"signal": name})):
        try:
            return action()
        except BrokenPipeError:
            # docker, which passes all signals on, does not die of SIGPIPE here as it does elsewhere.
            raise Failure("write /dev/stdout: broken pipe") from None


def with_help(text: str, command: str, exit_code: int) -> Failure:
    return Failure(
        f"sampan: {text}\n\nRun 'sampan {command} --help' for more information", exit_code
    )


def start_failure(failure: Failure) -> Failure:
    """The command's fault is 126 or 127, everything else 125; the daemon's text tells which."""
    text = str(failure)
    code = 125
    if any(part in text for part in _NOT_FOUND):
        code = 127
    elif any(part in text for part in _NOT_RUNNABLE):
        code = 126
    return with_help(text, "run", code)


def status_of(waiting: Wait) -> int:
    """The exit code, or Failure with the daemon's words."""
    result = waiting.answer()
    if result.get("Error"):
        raise Failure(result["Error"].get("Message", ""))
    return int(result["StatusCode"])
