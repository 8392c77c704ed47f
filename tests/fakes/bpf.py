"""Interpreters of the two BPF dialects that sampan writes: classic (seccomp) and extended (device filter).

Just enough of each for what the compilers emit; anything else is an error.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

WORD = 0xFFFFFFFF


def seccomp_data(arch: int, number: int, arguments: Sequence[int] = ()) -> bytes:
    values = [*arguments, *([0] * (6 - len(arguments)))]
    return struct.pack(
        "=iIQ6Q", struct.unpack("=i", struct.pack("=I", number))[0], arch, 0, *values
    )


def run_classic(program: bytes, data: bytes) -> int:
    """What the filter returns for a `struct seccomp_data`."""
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        opcode, if_true, if_false, constant = code[at]
        at += 1
        if opcode == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, constant)
        elif opcode == 0x54:
            accumulator &= constant
        elif opcode == 0x05:
            at += constant
        elif opcode == 0x06:
            return int(constant)
        elif opcode in _COMPARISONS:
            at += if_true if _COMPARISONS[opcode](accumulator, constant) else if_false
        else:
            raise AssertionError(f"unknown instruction {opcode:#x} at {at - 1}")


_COMPARISONS = {
    0x15: lambda a, b: a == b,
    0x25: lambda a, b: a > b,
    0x35: lambda a, b: a >= b,
    0x45: lambda a, b: a & b != 0,
}


def device_context(kind: str, major: int, minor: int, access: str) -> bytes:
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    return struct.pack("=III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)


def run_extended(program: bytes, context: bytes) -> int:
    """What the program returns for a context that register 1 points to; every path must end in `exit`."""
    code = [struct.unpack_from("<BBhI", program, at) for at in range(0, len(program), 8)]
    registers: dict[int, int] = {}
    pointer = 1  # the register that holds the context
    at = 0
    while True:
        opcode, pair, offset, immediate = code[at]
        target, source = pair & 15, pair >> 4
        at += 1
        if opcode == 0x61:
            assert source == pointer
            (registers[target],) = struct.unpack_from("=I", context, offset)
        elif opcode == 0xBF:
            registers[target] = registers[source]
            pointer = 0 if target == pointer else pointer
        elif opcode == 0xB7:
            registers[target] = immediate
        elif opcode == 0x57:
            registers[target] &= immediate
        elif opcode == 0x77:
            registers[target] >>= immediate
        elif opcode == 0x56:
            at += offset if registers[target] & WORD != immediate else 0
        elif opcode == 0x16:
            at += offset if registers[target] & WORD == immediate else 0
        elif opcode == 0x5D:
            at += offset if registers[target] != registers[source] else 0
        elif opcode == 0x95:
            return registers[0]
        else:
            raise AssertionError(f"unknown instruction {opcode:#x} at {at - 1}")
