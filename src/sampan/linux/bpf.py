"""Classic BPF (kernel Documentation/networking/filter.rst) as far as seccomp needs it: pieces of relocatable code.

A piece is a list of instructions whose jumps are relative and stay within it, so that pieces can be put one after
the other. An instruction is `struct sock_filter`: code, jump if true, jump if false, constant.
"""

from __future__ import annotations

import struct

from sampan.spec.typing import NamedTuple

LIMIT = 4096  # BPF_MAXINSNS

LOAD, AND, RETURN, JUMP = 0x20, 0x54, 0x06, 0x05
JUMP_EQ, JUMP_GT, JUMP_GE = 0x15, 0x25, 0x35

_FARTHEST = 255


class Instruction(NamedTuple):
    code: int
    if_true: int
    if_false: int
    constant: int


Piece = list[Instruction]


def load(offset: int) -> Instruction:
    """Of a 32-bit word of `struct seccomp_data`."""
    return Instruction(LOAD, 0, 0, offset)


def give(value: int) -> Instruction:
    return Instruction(RETURN, 0, 0, value)


def branch(code: int, constant: int, then: Piece, otherwise: Piece) -> Piece:
    """`then` when the accumulator compares true with the constant; both pieces end in a return."""
    if len(otherwise) <= _FARTHEST:
        return [Instruction(code, len(otherwise), 0, constant), *otherwise, *then]
    # Conditional jumps reach 255 instructions, plain ones everywhere.
    far = Instruction(JUMP, 0, 0, len(otherwise))
    return [Instruction(code, 0, 1, constant), far, *otherwise, *then]


def assemble(piece: Piece) -> bytes:
    """Raises `ValueError` when the kernel would refuse the length."""
    if len(piece) > LIMIT:
        raise ValueError(f"the seccomp filter is too long: {len(piece)} instructions of {LIMIT}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in piece)
