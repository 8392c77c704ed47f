"""Compressing a rotated log in a child of the monitor, which goes on meanwhile.

The file's name may move on (`.1` → `.2`) while its content is packed, so names are changed by the monitor alone,
when the child has ended: `pending` is followed through rotations. The packed file says in its header of which
file it is (inode and time of the last change), so that a reader that has that one open knows it again.
"""

from __future__ import annotations

import os
import zlib

MODE = 0o640
PIECE = 256 * 1024
_GZIP = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff"  # deflate, a name follows


class Compressor:
    """At most one child at a time; what is rotated meanwhile waits for its turn."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._stage = f"{path}.packing-{os.getpid()}"
        self._pid = 0
        self._inode = 0
        self.number = 0  # which old file is being packed: path.NUMBER

    @property
    def busy(self) -> bool:
        return self._pid != 0

    def start(self, number: int) -> None:
        """Pack `path.NUMBER`. Nothing happens when a child cannot be had."""
        source = output = -1
        try:
            source = os.open(f"{self._path}.{number}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            output = os.open(self._stage, flags, MODE)
            pid = os.fork()
            if pid == 0:
                _child(source, output)
            self._pid, self.number, self._inode = pid, number, os.fstat(source).st_ino
        except OSError:
            pass
        finally:
            for fd in (source, output):
                if fd >= 0:
                    os.close(fd)

    def moved(self) -> None:
        """A rotation has given every old file the next number."""
        self.number += 1

    def is_child(self, pid: int) -> bool:
        return self._pid != 0 and pid == self._pid

    def finish(self, status: int) -> bool:
        """The child has ended. False: nothing was packed, and nothing is to be tried again now."""
        self._pid = 0
        plain = f"{self._path}.{self.number}"
        try:
            if status or not self._is_ours(plain):
                os.unlink(self._stage)
                return status == 0
            # First the packed one, then the plain one goes: a reader always finds one of them.
            os.rename(self._stage, f"{plain}.gz")
            os.unlink(plain)
        except OSError:
            return False
        return True

    def _is_ours(self, plain: str) -> bool:
        """Not when it was rotated out of existence, or moved by the monitor of the container's next start."""
        try:
            return os.lstat(plain).st_ino == self._inode
        except FileNotFoundError:
            return False


def _child(source: int, output: int) -> None:
    """Never returns. Everything else that is open belongs to the container and its clients."""
    status = 1
    try:
        os.dup2(source, 0)
        os.dup2(output, 1)
        os.closerange(2, os.sysconf("SC_OPEN_MAX"))
        os.nice(19)
        pack(0, 1)
        status = 0
    finally:
        os._exit(status)


def pack(source: int, output: int) -> None:
    """gzip (RFC 1952), with `INODE-NANOSECONDS` of the source as its name, and the source's times."""
    found = os.fstat(source)
    name = f"{found.st_ino}-{found.st_mtime_ns}".encode("ascii")
    _write(output, _GZIP + name + b"\0")
    compressor = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    check = size = 0
    while piece := os.read(source, PIECE):
        check = zlib.crc32(piece, check)
        size += len(piece)
        _write(output, compressor.compress(piece))
    _write(output, compressor.flush())
    _write(output, check.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))
    os.utime(output, ns=(found.st_atime_ns, found.st_mtime_ns))


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
