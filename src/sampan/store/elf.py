"""A static program that writes a text and exits with 0, made byte by byte: what `hello-world` runs.

One file, one segment: header, code, text. Sources: ELF-64 Object File Format; the System V ABI's and the
Arm ARM's instruction encodings.
"""

from __future__ import annotations

import struct

from sampan.errors import NotImplementedHere

_BASE = 0x400000
_ALIGN = 0x10000  # the largest page that either architecture uses
_HEADERS = 64 + 56
_EM_X86_64, _EM_AARCH64 = 62, 183
_PF_R_X = 5


def hello(architecture: str, text: bytes) -> bytes:
    """The program for `amd64` or `arm64` (Go's names)."""
    if architecture == "amd64":
        return _elf(_EM_X86_64, _x86_64(len(text)), text)
    if architecture == "arm64":
        return _elf(_EM_AARCH64, _aarch64(len(text)), text)
    raise NotImplementedHere(f"there is no built-in program for {architecture}")


def _x86_64(size: int) -> bytes:
    write = b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\x8d\x35%b\xba%b\x0f\x05"
    leave = b"\xb8\xe7\0\0\0\x31\xff\x0f\x05"  # exit_group(0)
    after_lea = 17
    length = len(write % (bytes(4), bytes(4))) + len(leave)
    return write % (struct.pack("<i", length - after_lea), struct.pack("<I", size)) + leave


def _aarch64(size: int) -> bytes:
    def movz(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def adr(register: int, offset: int) -> int:
        return 0x10000000 | (offset & 3) << 29 | (offset >> 2) << 5 | register

    svc = 0xD4000001
    words = [movz(0, 1), 0, movz(2, size), movz(8, 64), svc, movz(0, 0), movz(8, 94), svc]
    words[1] = adr(1, 4 * (len(words) - 1))
    return struct.pack(f"<{len(words)}I", *words)


def _elf(machine: int, code: bytes, text: bytes) -> bytes:
    size = _HEADERS + len(code) + len(text)
    identity = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bits, little-endian, version 1
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(identity, 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 1, _PF_R_X, 0, _BASE, _BASE, size, size, _ALIGN)
    return header + segment + code + text
