"""The reference compiler, libseccomp, by ctypes; only for tests."""

from __future__ import annotations

import ctypes
import os
import tempfile
from typing import Any

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
ARCHITECTURES = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
}
OPERATORS = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]


class _Argument(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def library() -> Any:
    """Raises `OSError` where it is not installed."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_release.argtypes = [ctypes.c_void_p]
    lib.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    lib.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
    lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    lib.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Argument),
    ]
    lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return lib


def compile_reference(profile: dict[str, Any]) -> bytes:
    """As runc drives libseccomp, without runc's ENOSYS stub."""
    lib = library()
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = lib.seccomp_init(default)
    try:
        for name in profile.get("architectures", []):
            assert lib.seccomp_arch_add(context, ARCHITECTURES[name]) in (0, -17)
        for rule in profile["syscalls"]:
            action = _action(rule["action"], rule.get("errnoRet"))
            if action != default:
                _add(lib, context, action, rule)
        with tempfile.TemporaryFile() as file:
            assert lib.seccomp_export_bpf(context, file.fileno()) == 0
            return os.pread(file.fileno(), 1 << 20, 0)
    finally:
        lib.seccomp_release(context)


def _add(lib: Any, context: Any, action: int, rule: dict[str, Any]) -> None:
    arguments = [_argument(item) for item in rule.get("args", [])]
    array = (_Argument * len(arguments))(*arguments)
    for name in rule["names"]:
        number = lib.seccomp_syscall_resolve_name(name.encode())
        if number != -1:
            lib.seccomp_rule_add_array(context, action, number, len(arguments), array)


def _argument(item: dict[str, Any]) -> _Argument:
    operator = OPERATORS.index(item["op"].removeprefix("SCMP_CMP_"))
    return _Argument(item["index"], operator, item["value"], item.get("valueTwo", 0))


def _action(name: str, number: int | None) -> int:
    value = ACTIONS[name]
    return (
        value | (1 if number is None else number) if "ERRNO" in name or "TRACE" in name else value
    )


def names(arch: str, upto: int) -> dict[int, str]:
    """Number → name, as the library knows them."""
    lib = library()
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]
    found = {}
    base = 0x40000000 if arch == "SCMP_ARCH_X32" else 0
    for number in range(base, base + upto):
        pointer = lib.seccomp_syscall_resolve_num_arch(ARCHITECTURES[arch], number)
        if pointer:
            found[number] = ctypes.string_at(pointer).decode()
            free(pointer)
    return found
