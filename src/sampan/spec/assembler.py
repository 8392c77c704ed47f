"""A very small assembler: one portable set of instructions, machine code for x86-64 and aarch64.

It exists for the three programs that sampan generates itself (`programs.py`): static, without a C library, a
few hundred bytes. Instructions are methods that append to a list; `assemble()` resolves labels and returns
the code. Out of scope: anything those programs do not need.

Nine registers, `a` to `f` kept over system calls, `t u v` also (they hold no argument of a call with fewer
than four arguments). Encodings: Intel SDM volume 2; Arm ARM (DDI 0487), chapter C6.
"""

from __future__ import annotations

import struct

Operand = str | int  # a register's letter, or a number

SYSCALLS = {
    "x86_64": {
        "write": 1,
        "rt_sigprocmask": 14,
        "ioctl": 16,
        "getpid": 39,
        "clone": 56,
        "execve": 59,
        "wait4": 61,
        "kill": 62,
        "fcntl": 72,
        "sendfile": 40,
        "openat": 257,
        "memfd_create": 319,
        "execveat": 322,
        "setpgid": 109,
        "rt_sigtimedwait": 128,
        "exit_group": 231,
    },
    "aarch64": {
        "fcntl": 25,
        "ioctl": 29,
        "openat": 56,
        "sendfile": 71,
        "memfd_create": 279,
        "execveat": 281,
        "write": 64,
        "exit_group": 94,
        "kill": 129,
        "rt_sigprocmask": 135,
        "rt_sigtimedwait": 137,
        "setpgid": 154,
        "getpid": 172,
        "clone": 220,
        "execve": 221,
        "wait4": 260,
    },
}
EM = {"x86_64": 62, "aarch64": 183}  # e_machine, elf(5)
BASE = 0x400000
HEADERS = 64 + 2 * 56  # the ELF header and two program headers


class Assembler:
    """Common to both machines: bytes, labels, references to labels."""

    arch: str
    registers: dict[str, int]

    def __init__(self) -> None:
        self._code = bytearray()
        self._labels: dict[str, int] = {}
        self._references: list[tuple[int, str, str]] = []  # where, kind, label

    def label(self, name: str) -> None:
        assert name not in self._labels, name
        self._labels[name] = len(self._code)

    def data(self, name: str, content: bytes) -> None:
        """Read-only bytes behind the code; reached by `address`."""
        self.label(name)
        self._code += content + bytes(-len(content) % 4)

    def assemble(self) -> bytes:
        for where, kind, label in self._references:
            self._resolve(where, kind, self._labels[label])
        return bytes(self._code)

    def elf(self) -> bytes:
        """A static executable of the code: one segment, readable and executable, no writable one (elf(5))."""
        code = self.assemble()
        size = HEADERS + len(code)
        header = struct.pack(
            "<4s5B7xHHIQQQIHHHHHH",
            b"\x7fELF", 2, 1, 1, 0, 0,
            2, EM[self.arch], 1, BASE + HEADERS, 64, 0, 0, 64, 56, 2, 0, 0, 0,
        )  # fmt: skip
        load = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
        stack = struct.pack(
            "<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16
        )  # PT_GNU_STACK, not executable
        return header + load + stack + code

    def syscall(self, result: str, name: str, *arguments: Operand) -> None:
        """`result` = name(arguments); the registers of the arguments themselves stay as they are."""
        self._syscall(SYSCALLS[self.arch][name], arguments)
        self._take_result(result)

    # What a machine has to say for itself.
    def stack(self, register: str) -> None:
        """register = stack pointer"""
        raise NotImplementedError

    def set(self, register: str, value: int) -> None:
        raise NotImplementedError

    def move(self, register: str, source: str) -> None:
        raise NotImplementedError

    def address(self, register: str, label: str) -> None:
        raise NotImplementedError

    def load(self, register: str, base: str, offset: int, size: int) -> None:
        """register = zero-extended `size` bytes (1, 4 or 8) at base + offset (≥ 0)"""
        raise NotImplementedError

    def store(self, register: str, base: str, offset: int, size: int) -> None:
        raise NotImplementedError

    def add(self, register: str, value: Operand) -> None:
        raise NotImplementedError

    def shift_left(self, register: str, bits: int) -> None:
        raise NotImplementedError

    def shift_right(self, register: str, bits: int) -> None:
        raise NotImplementedError

    def jump(self, label: str) -> None:
        raise NotImplementedError

    def jump_if(self, register: str, condition: str, value: Operand, label: str) -> None:
        """condition: "==", "!=" or "<" (signed)"""
        raise NotImplementedError

    def _syscall(self, number: int, arguments: tuple[Operand, ...]) -> None:
        raise NotImplementedError

    def _take_result(self, register: str) -> None:
        raise NotImplementedError

    def _resolve(self, where: int, kind: str, target: int) -> None:
        raise NotImplementedError


class X86(Assembler):
    arch = "x86_64"
    registers = {"a": 3, "b": 5, "c": 12, "d": 13, "e": 14, "f": 15, "t": 9, "u": 8, "v": 10}  # noqa: RUF012
    _ARGUMENTS = (7, 6, 2, 10, 8)  # rdi rsi rdx r10 r8
    _CONDITIONS = {"==": 0x84, "!=": 0x85, "<": 0x8C}  # noqa: RUF012

    def _rr(self, opcode: int, reg: int, rm: int) -> None:
        """An instruction on two 64-bit registers: REX.W opcode /r."""
        self._code += bytes(
            [0x48 | reg >> 3 << 2 | rm >> 3, opcode, 0xC0 | (reg & 7) << 3 | rm & 7]
        )

    def _memory(
        self, prefix: bytes, rex: int, opcode: bytes, reg: int, base: int, offset: int
    ) -> None:
        rex |= 0x40 | reg >> 3 << 2 | base >> 3
        modrm = bytes([0x80 | (reg & 7) << 3 | base & 7])
        sib = b"\x24" if base & 7 == 4 else b""  # r12 as a base needs one
        self._code += prefix + bytes([rex]) + opcode + modrm + sib + struct.pack("<i", offset)

    def _immediate(self, extension: int, rm: int, value: int) -> None:
        self._code += bytes([0x48 | rm >> 3, 0x81, 0xC0 | extension << 3 | rm & 7]) + struct.pack(
            "<i", value
        )

    def _set(self, rm: int, value: int) -> None:
        self._code += bytes([0x48 | rm >> 3, 0xC7, 0xC0 | rm & 7]) + struct.pack("<i", value)

    def stack(self, register: str) -> None:
        self._rr(0x89, 4, self.registers[register])

    def set(self, register: str, value: int) -> None:
        self._set(self.registers[register], value)

    def move(self, register: str, source: str) -> None:
        self._rr(0x89, self.registers[source], self.registers[register])

    def address(self, register: str, label: str) -> None:
        reg = self.registers[register]
        self._code += bytes([0x48 | reg >> 3 << 2, 0x8D, 0x05 | (reg & 7) << 3]) + bytes(4)
        self._references.append((len(self._code), "rel32", label))

    def load(self, register: str, base: str, offset: int, size: int) -> None:
        opcode = {1: b"\x0f\xb6", 4: b"\x8b", 8: b"\x8b"}[size]
        rex = 8 if size == 8 else 0
        self._memory(b"", rex, opcode, self.registers[register], self.registers[base], offset)

    def store(self, register: str, base: str, offset: int, size: int) -> None:
        opcode = {1: b"\x88", 4: b"\x89", 8: b"\x89"}[size]
        rex = 8 if size == 8 else 0
        self._memory(b"", rex, opcode, self.registers[register], self.registers[base], offset)

    def add(self, register: str, value: Operand) -> None:
        if isinstance(value, int):
            self._immediate(0, self.registers[register], value)
        else:
            self._rr(0x01, self.registers[value], self.registers[register])

    def _shift(self, extension: int, register: str, bits: int) -> None:
        rm = self.registers[register]
        self._code += bytes([0x48 | rm >> 3, 0xC1, 0xC0 | extension << 3 | rm & 7, bits])

    def shift_left(self, register: str, bits: int) -> None:
        self._shift(4, register, bits)

    def shift_right(self, register: str, bits: int) -> None:
        self._shift(5, register, bits)

    def jump(self, label: str) -> None:
        self._code += b"\xe9" + bytes(4)
        self._references.append((len(self._code), "rel32", label))

    def jump_if(self, register: str, condition: str, value: Operand, label: str) -> None:
        if isinstance(value, int):
            self._immediate(7, self.registers[register], value)
        else:
            self._rr(0x39, self.registers[value], self.registers[register])
        self._code += bytes([0x0F, self._CONDITIONS[condition]]) + bytes(4)
        self._references.append((len(self._code), "rel32", label))

    def _syscall(self, number: int, arguments: tuple[Operand, ...]) -> None:
        for register, value in zip(self._ARGUMENTS, arguments, strict=False):
            if isinstance(value, int):
                self._set(register, value)
            elif self.registers[value] != register:
                self._rr(0x89, self.registers[value], register)
        self._set(0, number)
        self._code += b"\x0f\x05"

    def _take_result(self, register: str) -> None:
        self._rr(0x89, 0, self.registers[register])

    def _resolve(self, where: int, kind: str, target: int) -> None:
        self._code[where - 4 : where] = struct.pack("<i", target - where)


class Arm(Assembler):
    arch = "aarch64"
    registers = {"a": 19, "b": 20, "c": 21, "d": 22, "e": 23, "f": 24, "t": 25, "u": 26, "v": 27}  # noqa: RUF012
    _SCRATCH = 9
    _CONDITIONS = {"==": 0, "!=": 1, "<": 11}  # noqa: RUF012

    def _word(self, word: int) -> None:
        self._code += struct.pack("<I", word)

    def _set(self, register: int, value: int) -> None:
        value &= (1 << 64) - 1
        self._word(0xD2800000 | (value & 0xFFFF) << 5 | register)  # movz
        for half in 1, 2, 3:
            piece = value >> 16 * half & 0xFFFF
            if piece:
                self._word(0xF2800000 | half << 21 | piece << 5 | register)  # movk

    def _move(self, register: int, source: int) -> None:
        self._word(0xAA0003E0 | source << 16 | register)  # orr xd, xzr, xm

    def stack(self, register: str) -> None:
        self._word(0x910003E0 | self.registers[register])  # add xd, sp, #0

    def set(self, register: str, value: int) -> None:
        self._set(self.registers[register], value)

    def move(self, register: str, source: str) -> None:
        self._move(self.registers[register], self.registers[source])

    def address(self, register: str, label: str) -> None:
        self._references.append((len(self._code), "adr", label))
        self._word(0x10000000 | self.registers[register])

    def _access(
        self, opcodes: dict[int, int], register: str, base: str, offset: int, size: int
    ) -> None:
        assert offset % size == 0
        assert 0 <= offset // size < 4096
        word = opcodes[size] | offset // size << 10
        self._word(word | self.registers[base] << 5 | self.registers[register])

    def load(self, register: str, base: str, offset: int, size: int) -> None:
        self._access({1: 0x39400000, 4: 0xB9400000, 8: 0xF9400000}, register, base, offset, size)

    def store(self, register: str, base: str, offset: int, size: int) -> None:
        self._access({1: 0x39000000, 4: 0xB9000000, 8: 0xF9000000}, register, base, offset, size)

    def add(self, register: str, value: Operand) -> None:
        rd = self.registers[register]
        if isinstance(value, int):
            self._set(self._SCRATCH, value)
        source = self._SCRATCH if isinstance(value, int) else self.registers[value]
        self._word(0x8B000000 | source << 16 | rd << 5 | rd)

    def shift_left(self, register: str, bits: int) -> None:
        rd = self.registers[register]
        self._word(0xD3400000 | (-bits % 64) << 16 | (63 - bits) << 10 | rd << 5 | rd)  # ubfm

    def shift_right(self, register: str, bits: int) -> None:
        rd = self.registers[register]
        self._word(0xD340FC00 | bits << 16 | rd << 5 | rd)

    def jump(self, label: str) -> None:
        self._references.append((len(self._code), "b", label))
        self._word(0x14000000)

    def jump_if(self, register: str, condition: str, value: Operand, label: str) -> None:
        if isinstance(value, int):
            self._set(self._SCRATCH, value)
        other = self._SCRATCH if isinstance(value, int) else self.registers[value]
        self._word(0xEB00001F | other << 16 | self.registers[register] << 5)  # subs xzr, xn, xm
        self._references.append((len(self._code), "b.cond", label))
        self._word(0x54000000 | self._CONDITIONS[condition])

    def _syscall(self, number: int, arguments: tuple[Operand, ...]) -> None:
        for register, value in enumerate(arguments):
            if isinstance(value, int):
                self._set(register, value)
            else:
                self._move(register, self.registers[value])
        self._set(8, number)
        self._word(0xD4000001)  # svc #0

    def _take_result(self, register: str) -> None:
        self._move(self.registers[register], 0)

    def _resolve(self, where: int, kind: str, target: int) -> None:
        word = int.from_bytes(self._code[where : where + 4], "little")
        distance = target - where
        if kind == "adr":
            word |= (distance & 3) << 29 | (distance >> 2 & 0x7FFFF) << 5
        elif kind == "b":
            word |= distance >> 2 & 0x3FFFFFF
        else:
            word |= (distance >> 2 & 0x7FFFF) << 5
        self._code[where : where + 4] = struct.pack("<I", word)


def assembler(arch: str) -> Assembler:
    """For a machine as uname(2) calls it. KeyError for any other."""
    return {"x86_64": X86, "aarch64": Arm}[arch]()
