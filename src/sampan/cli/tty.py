"""Whether a terminal is there, and keeping the container's as large as ours."""

from __future__ import annotations

import os

from sampan.cli import terminal
from sampan.cli.client import Client, segment
from sampan.cli.failure import Failure
from sampan.cli.output import STDOUT
from sampan.cli.signals import on_resize


def check_terminal(*, stdin: bool, tty: bool) -> None:
    """A container's terminal needs one at our end, when input goes there."""
    if stdin and tty and not os.isatty(terminal.STDIN):
        raise Failure("the input device is not a TTY")


def follow_size(client: Client, kind: str, identity: str) -> None:
    """Set the size now and whenever the user's terminal changes. `kind` is "containers" or "exec"."""
    if not os.isatty(STDOUT):
        return

    def resize() -> None:
        rows, columns = terminal.size()
        if rows or columns:
            path = f"/{kind}/{segment(identity)}/resize"
            quietly(client, path, {"h": rows, "w": columns})

    on_resize(resize)  # first: a change between the two must not be missed
    resize()


def quietly(
    client: Client, path: str, query: dict[str, str | int | bool | list[str] | None]
) -> None:
    """POST on a connection of its own; it does not matter when it fails (the process may just have ended)."""
    try:
        client.stream("POST", path, query).read()
    except (Failure, OSError):
        pass
