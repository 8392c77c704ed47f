"""`--console-socket`: the master of a container's terminal goes to whoever asked for it."""

from __future__ import annotations

import array
import os

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


def send_console(path: str, console: int) -> None:
    _send(path, console, b"/dev/ptmx", "console socket")


def send_pidfd(path: str, pidfd: int) -> None:
    _send(path, pidfd, b"pidfd", "pidfd socket")


def _send(path: str, fd: int, name: bytes, what: str) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.connect(path)
            # Whoever gets it reads and writes it as it likes, as with a master that was just opened.
            os.set_blocking(fd, True)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
            sock.sendmsg([name], [rights])
        except OSError as error:
            raise ToolError(f"{what} {path}: {error.strerror}") from None
