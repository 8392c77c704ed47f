"""Kernels for tests: `RecordingKernel` only remembers, `FailingKernel` is real and fails once.

    kernel = RecordingKernel()                     kernel.calls == [("fsopen", ("proc",)), ...]
    kernel = RecordingKernel(fail_at=3)            the fourth call raises OSError(EIO)
    kernel = RecordingKernel(results={"fstat": lambda fd: stat_result(S_IFDIR | 0o755)})
    kernel = RecordingKernel(errors={("mknodat", 0): OSError(EPERM, "...")})    first mknodat raises

Arguments are bound to the signatures of `Kernel`: a call the real one would refuse fails here too;
keyword arguments that were given follow the positional ones as `("key", value)`.
"""

from __future__ import annotations

import errno
import inspect
import os
import stat
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from sampan.linux.kernel import Kernel, LinuxKernel

Call = tuple[str, tuple[Any, ...]]

_SIGNATURES = {
    name: inspect.signature(member)
    for name, member in vars(Kernel).items()
    if not name.startswith("_") and callable(member)
}
_RETURN_DESCRIPTORS = {"openat2", "open_tree", "fsopen", "fsmount", "pidfd_open", "dup"}
FIRST_FD = 100


def stat_result(mode: int, *, device: int = 0, inode: int = 1, rdev: int = 0) -> os.stat_result:
    """A stat with the fields our code looks at."""
    numbers = [mode, inode, device, 1, 0, 0, 0, 0, 0, 0]
    return os.stat_result(numbers, {"st_rdev": rdev})


class RecordingKernel:
    def __init__(
        self,
        *,
        results: dict[str, Any] | None = None,
        errors: dict[tuple[str, int], OSError] | None = None,
        fail_at: int | None = None,
    ) -> None:
        self.calls: list[Call] = []
        self._results = results or {}
        self._errors = errors or {}
        self._fail_at = fail_at
        self._next_fd = FIRST_FD
        self._seen: Counter[str] = Counter()

    @property
    def kernel(self) -> Kernel:
        """This fake, as the type checker wants it."""
        return cast(Kernel, self)

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def named(self, *names: str) -> list[Call]:
        return [call for call in self.calls if call[0] in names]

    def open_descriptors(self) -> set[int]:
        """What was handed out and not closed."""
        closed = {arguments[0] for name, arguments in self.calls if name == "close"}
        return set(range(FIRST_FD, self._next_fd)) - closed

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in _SIGNATURES:
            raise AttributeError(f"Kernel has no call {name!r}")

        def call(*args: Any, **kwargs: Any) -> Any:
            _SIGNATURES[name].bind(self, *args, **kwargs)
            return self._record(name, args, kwargs)

        return call

    def _record(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        position, occurrence = len(self.calls), self._seen[name]
        self._seen[name] += 1
        self.calls.append((name, args + tuple(kwargs.items())))
        if position == self._fail_at:
            raise OSError(errno.EIO, f"injected at call {position}: {name}")
        if (name, occurrence) in self._errors:
            raise self._errors[name, occurrence]
        if name in self._results:
            result = self._results[name]
            return result(*args, **kwargs) if callable(result) else result
        return self._default(name)

    def _default(self, name: str) -> Any:
        if name in _RETURN_DESCRIPTORS:
            self._next_fd += 1
            return self._next_fd - 1
        if name in ("clone3", "fork"):
            self._next_fd += 1
            return 4242, self._next_fd - 1
        if name in ("fstat", "stat"):
            return stat_result(stat.S_IFDIR | 0o755)
        defaults = {
            "prctl": 0,
            "fstatfs": 0,
            "ioctl": 0,
            "read": b"",
            "write": 1,
            "umask": 0o22,
            "getcwd": "/",
            "capget": (0, 0, 0),
            "prlimit": (1024, 4096),
            "readlinkat": "target",
            "waitid": 0,
        }
        return defaults.get(name)


class FailingKernel(LinuxKernel):
    """Real, but one call raises EIO: number `parent_at` here, or `child_at` in a cloned child.

    Only calls in `COUNTED` count: those that set something up. `failed` names what failed here.
    """

    COUNTED = frozenset(_SIGNATURES) - {
        *("close", "read", "write", "fstat", "fstatfs", "waitid", "pidfd_send_signal", "getcwd"),
        *("stat", "faccessat", "prctl", "execve", "close_range", "umask"),
    }

    def __init__(self, *, parent_at: int | None = None, child_at: int | None = None) -> None:
        super().__init__()
        self._fail_at, self._child_at, self._count = parent_at, child_at, 0
        self.failed: str | None = None

    def disarm(self) -> None:
        """No call fails any more."""
        self._fail_at = self._child_at = None

    def __getattribute__(self, name: str) -> Any:
        member = super().__getattribute__(name)
        if name not in FailingKernel.COUNTED:
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            position, self._count = self._count, self._count + 1
            if position == self._fail_at:
                self.failed = name
                raise OSError(errno.EIO, f"injected at call {position}: {name}")
            result = member(*args, **kwargs)
            if name == "clone3" and result[0] == 0:
                self._fail_at, self._count = self._child_at, 0
            if name == "fork" and result[0] == 0:
                self._fail_at = None  # a helper or a hook: the call that fails is the parent's
            return result

        return call
