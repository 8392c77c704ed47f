"""What a caller is given of a process that was made: its terminal's master, its pidfd, its number."""

from __future__ import annotations

import os

from sampan.linux.channel import rights
from sampan.runtime.create import Created
from sampan.runtime.request import Executed
from sampan.runtime.tool.arguments import Options
from sampan.runtime.tool.state import ToolError


def check_terminal(*, terminal: bool, detached: bool, console_socket: str) -> None:
    """runc's rules. Raises ToolError."""
    if console_socket and not (detached and terminal):
        raise ToolError(
            "cannot use console socket if sampan-runtime will not detach or allocate tty"
        )
    if terminal and detached and not console_socket:
        raise ToolError(
            "cannot allocate tty if sampan-runtime will detach without setting console socket"
        )


def hand_over(options: Options, made: Created | Executed) -> None:
    """What the caller wants to have of a process that was made: terminal, pidfd, number. Raises ToolError, OSError."""
    if options.text("console-socket"):
        assert made.console is not None
        _send(options.text("console-socket"), made.console, b"/dev/ptmx", "console socket")
    if options.text("pidfd-socket"):
        _send(options.text("pidfd-socket"), made.pidfd, b"pidfd", "pidfd socket")
    if options.text("pid-file"):
        _write_pid(options.text("pid-file"), made.pid)


def _write_pid(path: str, pid: int) -> None:
    """Whole or not at all: callers wait for the file and read it at once."""
    folder, name = os.path.split(path)
    staged = os.path.join(folder, f".{name}")
    with open(staged, "w", encoding="ascii") as file:
        file.write(str(pid))
    os.rename(staged, path)


def _send(path: str, fd: int, name: bytes, what: str) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.connect(path)
            # Whoever gets it reads and writes it as it likes, as with a master that was just opened.
            os.set_blocking(fd, True)
            sock.sendmsg([name], [rights([fd])])
        except OSError as error:
            raise ToolError(f"{what} {path}: {error.strerror}") from None
