"""The daemon's listening sockets: made before anything is answered, so that clients queue while it comes up.

Unix sockets are 0660 root:GROUP from the first instant (umask before bind); `fd://` takes systemd's.
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from collections.abc import Mapping

from sampan.engine.config import DEFAULT_HOST, ConfigError

BACKLOG = 1024
FIRST_FD = 3  # sd_listen_fds(3)
GROUPS = ("docker", "sampan")


def group_id(name: str) -> int:
    """Of the socket: `name`, which must be there, or else the first known one, or root's.

    Raises ConfigError."""
    if name:
        if name.isdigit():
            return int(name)
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            raise ConfigError(f"group {name} not found") from None
    for known in GROUPS:
        try:
            return grp.getgrnam(known).gr_gid
        except KeyError:
            continue
    return 0


def open_sockets(
    hosts: tuple[str, ...], *, group: str, environment: Mapping[str, str]
) -> list[socket.socket]:
    """One for each `-H`; the default one when there is none. Raises ConfigError, OSError."""
    gid = group_id(group)
    found: list[socket.socket] = []
    try:
        for host in hosts or (DEFAULT_HOST,):
            scheme, _, rest = host.partition("://")
            if scheme == "fd":
                found += inherited(environment, rest)
            else:
                found.append(open_unix(rest, gid))
    except BaseException:
        for sock in found:
            sock.close()
        raise
    return found


def open_unix(path: str, gid: int) -> socket.socket:
    """Raises OSError (EADDRINUSE: somebody listens there)."""
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o117)
    try:
        sock.bind(path)
        os.chown(path, 0, gid)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    sock.setblocking(False)
    return sock


def remove_stale(path: str) -> None:
    """A socket that nobody listens on any more. Raises OSError when it is alive or is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(17, "exists and is no socket", path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            os.unlink(path)
            return
        except TimeoutError:
            pass
    raise OSError(98, "can't create unix socket: address already in use", path)


def inherited(environment: Mapping[str, str], name: str) -> list[socket.socket]:
    """systemd's sockets (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES); with a name only those called so.

    Raises ConfigError."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        raise ConfigError(
            "no sockets found via socket activation: make sure the service was started by systemd"
        )
    count = int(environment.get("LISTEN_FDS", "0"))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    wanted = name.strip("*")
    found = []
    for number in range(count):
        fd = FIRST_FD + number
        os.set_inheritable(fd, False)
        if not wanted or wanted in (names[number : number + 1] or [""]) or wanted == str(fd):
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            found.append(sock)
    if not found:
        raise ConfigError(
            "no sockets found via socket activation: make sure the service was started by systemd"
        )
    return found


def remove_paths(hosts: tuple[str, ...]) -> None:
    """At the end, those that are ours."""
    for host in hosts or (DEFAULT_HOST,):
        scheme, _, path = host.partition("://")
        if scheme == "unix":
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
