"""The C library as `kernel.py` sees it: functions with types, every value checked.

ctypes wraps integers silently (`c_int(2**32).value == 0`) and cuts strings at the first NUL, so
each parameter goes through a class whose `from_param` refuses what does not fit; the caller sees
`ctypes.ArgumentError`.
System calls newer than the oldest supported glibc go by number; 424 and above are the same on all
architectures. Out of scope: what the calls are for.
"""

from __future__ import annotations

import os

from sampan.linux import cdll
from sampan.spec.typing import Any, Callable

_NUMBERS = {
    "x86_64": {
        **{"keyctl": 250, "seccomp": 317, "pivot_root": 155, "rt_sigaction": 13},
        **{"sched_setattr": 314, "ioprio_set": 251, "personality": 135, "set_mempolicy": 238},
        "bpf": 321,
    },
    "aarch64": {
        **{"keyctl": 219, "seccomp": 277, "pivot_root": 41, "rt_sigaction": 134},
        **{"sched_setattr": 274, "ioprio_set": 30, "personality": 92, "set_mempolicy": 237},
        "bpf": 280,
    },
}
_COMMON_NUMBERS = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}

Path = str | bytes


def _checked(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int):
        raise TypeError(f"expected an integer, got {value!r}")
    if not low <= value <= high:
        raise OverflowError(f"{value} is not in {low}..{high}")
    return value


def unsigned(value: int, bits: int = 64) -> int:
    """`value`, when it fits an unsigned integer of so many bits; OverflowError otherwise."""
    return _checked(value, 0, (1 << bits) - 1)


class Int:
    @classmethod
    def from_param(cls, value: Any) -> int:
        # ctypes passes a plain integer as a C int; what it would cut off is refused here.
        return _checked(value, -(1 << 31), (1 << 31) - 1)


class UInt:
    @classmethod
    def from_param(cls, value: Any) -> int:
        return _checked(value, 0, (1 << 32) - 1)


class ULong:
    @classmethod
    def from_param(cls, value: Any) -> cdll.c_ulong:
        return cdll.c_ulong(_checked(value, 0, (1 << 64) - 1))


class CString:
    """A path or a word; None is a null pointer."""

    @classmethod
    def from_param(cls, value: Any) -> bytes | None:
        if value is None:
            return None
        data = os.fsencode(value)
        if b"\0" in data:
            raise ValueError("embedded null byte")
        return data


Pointer = cdll.c_void_p
Call = Callable[..., int]


def numbers(machine: str) -> dict[str, int]:
    """Numbers of the calls this project makes by number."""
    if machine not in _NUMBERS:
        raise NotImplementedError(f"system call numbers of {machine} are unknown")
    return _NUMBERS[machine] | _COMMON_NUMBERS


class Libc:
    """Makes typed callables; `check` turns their -1 into OSError."""

    def __init__(self) -> None:
        self._library = cdll.CDLL(None, use_errno=True)
        # With the interpreter lock held, so that a child of clone3 finds it as its parent left it.
        self._locked = cdll.PyDLL(None, use_errno=True)
        self._numbers = numbers(os.uname().machine)

    def function(self, name: str, *parameters: Any) -> Call:
        return self._typed(self._library[name], cdll.c_int, parameters)

    def syscall(self, name: str, *parameters: Any, keep_lock: bool = False) -> Call:
        library = self._locked if keep_lock else self._library
        # Indexing makes a new function object each time, so each call has types of its own.
        typed = self._typed(library["syscall"], cdll.c_long, (cdll.c_long, *parameters))
        number = self._numbers[name]
        return lambda *arguments: typed(number, *arguments)

    @staticmethod
    def _typed(function: Any, result: Any, parameters: tuple[Any, ...]) -> Call:
        function.argtypes = parameters
        function.restype = result
        call: Call = function
        return call


def check(result: int, path: Path | None = None) -> int:
    """The result of a call, or OSError from errno."""
    if result >= 0:
        return result
    number = cdll.get_errno()
    if path is None:
        raise OSError(number, os.strerror(number))
    raise OSError(number, os.strerror(number), os.fsdecode(path))
