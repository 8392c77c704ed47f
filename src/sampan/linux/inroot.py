"""Opening and making files below a root that somebody hostile may own and change at the same time.

Every look-up starts at the descriptor of the root and is the kernel's own (`openat2`,
RESOLVE_IN_ROOT): absolute links and `..` stay inside, links of /proc are refused.
Nothing here takes a path of the host.
"""

from __future__ import annotations

import errno
import os
import stat

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel

_RESOLVE = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
_MAX_LINKS = 40  # as the kernel, path_resolution(7)
_ATTEMPTS = 128


def open_in_root(kernel: Kernel, root_fd: int, path: str, flags: int, *, mode: int = 0) -> int:
    """A descriptor of `path` as a process sees it whose root is `root_fd`."""
    for attempt in range(_ATTEMPTS):
        try:
            return kernel.openat2(root_fd, path or ".", flags, mode=mode, resolve=_RESOLVE)
        except BlockingIOError:
            # EAGAIN: something below the root was renamed during a look-up with "..", openat2(2).
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def read_file(kernel: Kernel, root_fd: int, path: str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises OSError with EINVAL when it is not a regular file (nothing is opened then, so that a
    FIFO never hangs and a device never notices), EFBIG when it is larger.
    """
    handle = open_in_root(kernel, root_fd, path, os.O_PATH)
    try:
        if not stat.S_ISREG(kernel.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        # The link of /proc leads to the file that was looked at, however its name changed.
        fd = kernel.openat2(c.AT_FDCWD, f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK)
    finally:
        kernel.close(handle)
    try:
        return _read_all(kernel, fd, path, limit)
    finally:
        kernel.close(fd)


def _read_all(kernel: Kernel, fd: int, path: str, limit: int) -> bytes:
    content = bytearray()
    while chunk := kernel.read(fd, min(65536, limit + 1 - len(content))):
        content += chunk
        if len(content) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return bytes(content)


def make_directory(kernel: Kernel, root_fd: int, path: str, *, mode: int = 0o755) -> int:
    """An O_PATH descriptor of the folder `path`; what is missing of it is made.

    Links are followed inside the root, dangling ones too.
    Raises NotADirectoryError when something else is there.
    """
    flags = os.O_PATH | os.O_DIRECTORY
    folder, _, name = path.rstrip("/").rpartition("/")
    for attempt in range(2):
        try:
            return open_in_root(kernel, root_fd, path, flags)
        except FileNotFoundError:
            # Mostly only the last component is missing; if it is not as simple, walk.
            if (
                attempt
                or name in ("", ".", "..")
                or not _make_last(kernel, root_fd, folder, name, mode)
            ):
                break
    return _walk(kernel, root_fd, path, mode)


def _make_last(kernel: Kernel, root_fd: int, folder: str, name: str, mode: int) -> bool:
    try:
        parent = open_in_root(kernel, root_fd, folder, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        kernel.mkdirat(parent, name, mode)
    except FileExistsError:
        return False  # a link to what is missing
    finally:
        kernel.close(parent)
    return True


def make_file(kernel: Kernel, root_fd: int, path: str, *, mode: int = 0o755) -> int:
    """An O_PATH descriptor of `path`, which is made as an empty file when it is missing."""
    try:
        return open_in_root(kernel, root_fd, path, os.O_PATH)
    except FileNotFoundError:
        pass
    folder, _, _ = path.rstrip("/").rpartition("/")
    kernel.close(make_directory(kernel, root_fd, folder))
    flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    kernel.close(open_in_root(kernel, root_fd, path, flags, mode=mode))
    return open_in_root(kernel, root_fd, path, os.O_PATH)


def _walk(kernel: Kernel, root_fd: int, path: str, mode: int) -> int:
    """One component at a time, links resolved here: the missing part may lie behind a link."""
    done: list[str] = []
    todo = path.split("/")
    links = 0
    while todo:
        name = todo.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            done = done[:-1]
            continue
        target = _link_or_folder(kernel, root_fd, done, name, mode)
        if target is None:
            done.append(name)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        todo[:0] = target.split("/")
        if target.startswith("/"):
            done = []
    return open_in_root(kernel, root_fd, "/".join(done), os.O_PATH | os.O_DIRECTORY)


def _link_or_folder(
    kernel: Kernel, root_fd: int, done: list[str], name: str, mode: int
) -> str | None:
    """The target of the link `name` in the folder `done`; None for a folder, made if missing."""
    place = "/".join([*done, name])
    try:
        fd = open_in_root(kernel, root_fd, place, os.O_PATH | os.O_NOFOLLOW)
    except FileNotFoundError:
        parent = open_in_root(kernel, root_fd, "/".join(done), os.O_PATH | os.O_DIRECTORY)
        try:
            kernel.mkdirat(parent, name, mode)
        except FileExistsError:
            pass  # somebody else was quicker; what it is shows in the final look-up
        finally:
            kernel.close(parent)
        return None
    try:
        kind = kernel.fstat(fd).st_mode
        if stat.S_ISLNK(kind):
            return kernel.readlinkat(fd, "")
        if not stat.S_ISDIR(kind):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place)
        return None
    finally:
        kernel.close(fd)
