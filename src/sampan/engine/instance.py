"""One daemon to a data root, and how the world knows of it: lock, pid file, systemd's readiness."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping

from sampan.engine.config import ConfigError
from sampan.linux import process


def lock(data_root: str) -> int:
    """The descriptor holds the lock until the process ends. Raises ConfigError when another daemon has it."""
    fd = os.open(os.path.join(data_root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise ConfigError(
            f"another sampand (process {holder or '?'}) uses the data root {data_root}"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def write_pidfile(path: str) -> None:
    """Raises ConfigError when the process that it names is a daemon that runs."""
    if not path:
        return
    os.makedirs(os.path.dirname(path) or ".", 0o755, exist_ok=True)
    other = _read_pid(path)
    if other and other != os.getpid() and _is_daemon(other):
        raise ConfigError(
            f"failed to start daemon: ensure sampand is not running or delete {path}: "
            f"process with PID {other} is still running"
        )
    with open(path, "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def _read_pid(path: str) -> int:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(32).strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isascii() and text.isdigit() else 0


def _is_daemon(pid: int) -> bool:
    """Pids are used again: only one that is called as we are counts."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip() == NAME
    except OSError:
        return False


NAME = "sampand"


def set_name() -> None:
    process.set_title(NAME)


def remove_pidfile(path: str) -> None:
    if path and _read_pid(path) == os.getpid():
        os.unlink(path)


def notify(environment: Mapping[str, str], message: str) -> None:
    """sd_notify(3); nothing without systemd."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.connect(address)
            sock.send(message.encode())
        except OSError:
            pass  # whoever wanted to know is gone
