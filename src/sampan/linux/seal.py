"""The interpreter as a file that nobody can write, for every process of ours that enters a container.

Between its birth and its execve such a process is an interpreter in there: `/proc/PID/exe` leads to the program
that it runs, past every mount namespace, and a command `#!/proc/self/exe` runs it again. Root in the
container could so open the host's `python3` and write to it (CVE-2019-5736). Here the way ends at a copy in memory
that is sealed: the kernel refuses each write to it, whoever asks.

Source: memfd_create(2), fcntl(2) "File Sealing". Imports little: it runs before anything else is loaded.
"""

from __future__ import annotations

import errno
import fcntl
import os

TYPE_CHECKING = False  # typing's own would cost as much as all the rest of this
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

SELF = "/proc/self/exe"
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_MFD_EXEC = 0x10  # since Linux 6.3, which else may make it not executable (vm.memfd_noexec)
_NAME = "python"


def is_sealed(program: str = SELF) -> bool:
    """Whether the file that this process runs from is one that cannot be written."""
    fd = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError as error:
        if error.errno != errno.EINVAL:  # not a file that could have any
            raise
        return False
    finally:
        os.close(fd)


def copy_sealed(program: str = SELF) -> int:
    """A descriptor of the copy, close-on-exec."""
    source = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
    try:
        copy = _make_memory()
        try:
            left = os.fstat(source).st_size
            while left and (count := os.sendfile(copy, source, None, left)):
                left -= count
            os.fchmod(copy, 0o555)
            fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
        except BaseException:
            os.close(copy)
            raise
        return copy
    finally:
        os.close(source)


def _make_memory() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(_NAME, flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(_NAME, flags)


def run_sealed(argv: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become the same interpreter, sealed. `argv[0]` must be its path: it finds its library by that."""
    copy = copy_sealed()
    os.execve(f"/proc/self/fd/{copy}", list(argv), dict(environment))


def set_name(name: str) -> None:
    """What `ps` and `pgrep` call this process: after `run_sealed` it would be a number."""
    with open("/proc/self/comm", "w", encoding="utf-8") as file:
        file.write(name[:15])
