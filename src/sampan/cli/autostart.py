"""Starting `sampand` when nobody listens on the default socket: root only, and only when it is not switched off.

Switched off by `SAMPAN_AUTOSTART=0` or by `{"autostart": false}` in /etc/sampan/cli.json.
"""

from __future__ import annotations

import os
import select
import sys
import time
from _socket import AF_UNIX, SOCK_STREAM, socket

from sampan.cli.failure import Failure
from sampan.cli.identity import DEFAULT_SOCKET
from sampan.spec import jsontext

SETTINGS = "/etc/sampan/cli.json"
LOG_DIRECTORY = "/var/log/sampan"
_DEADLINE = 15.0
_GRACE = 2.0
_INTERVAL_MS = 10
_PING = b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def start() -> bool:
    """Start the daemon and wait until it answers; False when it is not for us to start.

    Raises Failure when it ends, or does not answer in time.
    """
    if os.geteuid() != 0 or not _is_wanted():
        return False
    log = os.path.join(LOG_DIRECTORY, "sampand.log")
    process = _spawn(_command(), log)
    try:
        _wait(process, log)
    finally:
        os.close(process)
    return True


def _is_wanted() -> bool:
    if os.environ.get("SAMPAN_AUTOSTART", "1").lower() in ("0", "false", "no", "off"):
        return False
    try:
        with open(SETTINGS, "rb") as file:
            settings = jsontext.loads(file.read())
    except FileNotFoundError:
        return True
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {SETTINGS}: {error}") from None
    return not (isinstance(settings, dict) and settings.get("autostart") is False)


def _command() -> list[str]:
    """`sampand` beside ourselves, else by this very Python: never one that PATH happens to have."""
    beside = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "sampand")
    if os.access(beside, os.X_OK):
        return [beside]
    code = "import sys; from sampan.daemon import main; sys.exit(main())"
    return [sys.executable, "-c", code]


def _spawn(command: list[str], log: str) -> int:
    """Run a command as a daemon of its own (two forks, a session). Returns its pidfd."""
    os.makedirs(os.path.dirname(log), mode=0o750, exist_ok=True)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                _become(command, log, writer)
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as file:
        pid, _, problem = file.read().decode("utf-8", "replace").partition(" ")
    if problem or not pid:
        raise Failure(f"cannot start {command[0]}: {problem or 'it ended at once'}")
    try:
        return os.pidfd_open(int(pid))
    except ProcessLookupError:
        raise Failure(f"sampand ended at once; see {log}{_tail(log)}") from None


def _become(command: list[str], log: str, writer: int) -> None:
    """Tell our pid, and why we could not become the command if so: the pipe closes with the exec."""
    os.write(writer, str(os.getpid()).encode())
    try:
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDONLY)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        for source, target in ((null, 0), (out, 1), (out, 2)):
            os.dup2(source, target)
        os.execv(command[0], command)
    except OSError as error:
        os.write(writer, f" {error.strerror}".encode())


def _wait(process: int, log: str) -> None:
    """Until the daemon answers; what it does before it listens, and between that and the first answer, takes time."""
    end = time.monotonic() + _DEADLINE
    ended = False
    while not _answers(process, end):
        if not ended and _is_ready(process, _INTERVAL_MS):
            # Somebody else may have started one at the same time, which then took its place: look a little longer.
            ended, end = True, min(end, time.monotonic() + _GRACE)
        elif ended:
            time.sleep(_INTERVAL_MS / 1000)
        if time.monotonic() > end:
            why = (
                "ended before it answered" if ended else f"does not answer after {_DEADLINE:.0f} s"
            )
            raise Failure(f"sampand {why} on unix://{DEFAULT_SOCKET}; see {log}{_tail(log)}")


def _answers(process: int, end: float) -> bool:
    """Whether somebody answers at the socket. A daemon that has begun to listen is waited for while it lives."""
    sock = socket(AF_UNIX, SOCK_STREAM)
    try:
        sock.connect(DEFAULT_SOCKET)
        sock.send(_PING)
        while not _is_ready(sock.fileno(), _INTERVAL_MS):
            if time.monotonic() > end or _is_ready(process, 0):
                break
        return _is_ready(sock.fileno(), 0) and sock.recv(5) == b"HTTP/"
    except OSError:
        return False
    finally:
        sock.close()


def _is_ready(descriptor: int, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(milliseconds))


def _tail(log: str) -> str:
    """The last line of the log, which says why."""
    try:
        with open(log, "rb") as file:
            lines = file.read()[-4096:].decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1]}" if lines else ""
