"""Where a created container's init waits for `start`, after the process that made it has ended.

A listening socket in the container's state folder, which init holds by descriptor; nothing in the
container can reach the file. Who may connect is who may enter the folder (0700).

    start                           init
      │ ── connect, "start" ─────────▶ │  accept
      │ ◀──────── EOF (execve) ─────── │  or failed

After execve nobody listens any more, and a connection is refused: so the gate also tells whether the
command runs, whatever became of the process that started it.
"""

from __future__ import annotations

import _socket as socket
import os

from sampan.linux.channel import Channel

NAME = "start.sock"
_KIND = socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC


def _address(folder_fd: int) -> str:
    """Short, however long the folder's path is: sun_path holds 108 bytes."""
    return f"/proc/self/fd/{folder_fd}/{NAME}"


def _open_folder(folder: str) -> int:
    return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def listen(folder: str) -> socket.socket:
    gate = socket.socket(socket.AF_UNIX, _KIND)
    fd = _open_folder(folder)
    try:
        gate.bind(_address(fd))
        gate.listen(8)
    except BaseException:
        gate.close()
        raise
    finally:
        os.close(fd)
    return gate


def connect(folder: str) -> Channel | None:
    """To the init that waits; None when none does (any more)."""
    fd = _open_folder(folder)
    sock = socket.socket(socket.AF_UNIX, _KIND)
    try:
        sock.connect(_address(fd))
    except (ConnectionRefusedError, FileNotFoundError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(fd)
    return Channel(sock)


def waits(folder: str) -> bool:
    channel = connect(folder)
    if channel is None:
        return False
    channel.close()
    return True
