"""From `args[0]` to the file that execve gets, by the container's own PATH, with runc's texts.

Runs in the container's root with the identity of the command, so it finds what the command could run.
"""

from __future__ import annotations

import errno
import os
import stat

from sampan.linux.kernel import Kernel
from sampan.runtime.failure import NOT_EXECUTABLE, NOT_FOUND, RuntimeFailure, reason


def find_command(kernel: Kernel, name: str, environment: list[str]) -> str:
    """Raises RuntimeFailure with exit code 127 (not there) or 126 (there, but not to be run)."""
    if "/" in name:
        problem = _problem(kernel, name)
        if problem is None:
            return name
        number, text = problem
        missing = number in (errno.ENOENT, errno.ENOTDIR)
        raise _failure(name, text, number, NOT_FOUND if missing else NOT_EXECUTABLE)
    for folder in _search_path(environment):
        path = f"{folder or '.'}/{name}"
        if name and _problem(kernel, path) is None:
            if folder.startswith("/"):
                return path
            # As Go's os/exec since 1.19: a relative entry of PATH is never an invitation.
            text = "cannot run executable found relative to current directory"
            raise _failure(name, text, errno.ENOENT, None)
    raise _failure(name, "executable file not found in $PATH", errno.ENOENT, NOT_FOUND)


def _search_path(environment: list[str]) -> list[str]:
    value = ""
    for variable in environment:
        if variable.startswith("PATH="):
            value = variable[len("PATH=") :]
    return value.split(":") if value else []


def _problem(kernel: Kernel, path: str) -> tuple[int, str] | None:
    try:
        status = kernel.stat(path)
    except OSError as error:
        number = error.errno or errno.EIO
        return number, f"stat {path}: {reason(number)}"
    if stat.S_ISDIR(status.st_mode):
        return errno.EACCES, reason(errno.EACCES)
    try:
        kernel.faccessat(path, os.X_OK)
    except OSError as error:
        number = error.errno or errno.EIO
        return number, reason(number)
    return None


def _failure(name: str, text: str, number: int, exit_code: int | None) -> RuntimeFailure:
    return RuntimeFailure(
        f'exec: "{_quote(name)}": {text}',
        step="find the command",
        path=name,
        errno=number,
        exit_code=exit_code,
    )


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
