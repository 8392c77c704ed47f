"""nftables commands as text, a call one atomic transaction: libnftables by ctypes, else `nft -f -`.

A context belongs to the network namespace of the thread that made it and is used from that thread
only. What is run is the caller's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections import deque
from typing import Protocol

LIBRARY = "libnftables.so.1"
COMMAND = "nft"
NFT_CTX_DEFAULT = 0


class NftError(OSError):
    """The kernel or the parser refused and nothing was done. `strerror` is nft's text."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EINVAL, text.strip() or "nftables refused the commands")


class Nft(Protocol):
    def run(self, commands: str) -> str:
        """What nft printed. Raises NftError."""
        ...

    def made_by(self, thread_id: int) -> bool:
        """Whether the transaction that the kernel says this thread made is one of ours."""
        ...

    def close(self) -> None: ...


class LibraryNft:
    """Raises OSError when the library is not there."""

    def __init__(self) -> None:
        library = ctypes.CDLL(LIBRARY)
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_free.argtypes = [ctypes.c_void_p]
        library.nft_ctx_free.restype = None
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name).restype = ctypes.c_int
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name).restype = ctypes.c_char_p
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        library.nft_run_cmd_from_buffer.restype = ctypes.c_int
        self._library = library
        self._context: int | None = library.nft_ctx_new(NFT_CTX_DEFAULT)
        if not self._context:
            raise OSError(errno.ENOMEM, "nft_ctx_new failed", LIBRARY)
        if library.nft_ctx_buffer_output(self._context) or library.nft_ctx_buffer_error(
            self._context
        ):
            self.close()
            raise OSError(errno.ENOMEM, "nft_ctx_buffer_output failed", LIBRARY)

    def run(self, commands: str) -> str:
        if self._context is None:
            raise ValueError("the nft context is closed")
        status = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        # Reading a buffer empties it, so both are read each time.
        error = self._library.nft_ctx_get_error_buffer(self._context) or b""
        output = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if status != 0:
            raise NftError(error.decode("utf-8", "replace"))
        text: str = output.decode("utf-8", "replace")
        return text

    def made_by(self, thread_id: int) -> bool:
        return os.path.exists(f"/proc/self/task/{thread_id}")

    def close(self) -> None:
        if self._context is not None:
            self._library.nft_ctx_free(self._context)
            self._context = None


class CommandNft:
    """A process a call; its namespace is that of the calling thread."""

    def __init__(self) -> None:
        self._children: deque[int] = deque(maxlen=64)

    def made_by(self, thread_id: int) -> bool:
        return thread_id in self._children

    def run(self, commands: str) -> str:
        files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("in", "out", "err")]
        try:
            os.write(files[0], commands.encode())
            os.lseek(files[0], 0, os.SEEK_SET)
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(files)]
            pid = os.posix_spawnp(
                COMMAND,
                [COMMAND, "-f", "-"],
                os.environ,
                file_actions=actions,
                setsigdef=[signal.SIGPIPE],
            )
            self._children.append(pid)
            _, status = os.waitpid(pid, 0)
            output, error = (
                os.pread(fd, 1 << 20, 0).decode("utf-8", "replace") for fd in files[1:]
            )
        finally:
            for fd in files:
                os.close(fd)
        if status != 0:
            raise NftError(error)
        return output

    def close(self) -> None:
        """Nothing is held."""


def open_nft() -> Nft:
    """The library where it is installed, else the command."""
    try:
        return LibraryNft()
    except OSError:
        return CommandNft()
