"""The built-in program is a valid ELF file for both architectures, and runs on this one."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from sampan.errors import NotImplementedHere
from sampan.spec.platform import host
from sampan.store import elf
from sampan.store.builtin import TEXT


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_header(architecture: str, machine: int) -> None:
    """One loadable segment that holds the whole file, entered right behind the headers."""
    data = elf.hello(architecture, b"text")
    identity, kind, found, _, entry = struct.unpack_from("<16sHHIQ", data)
    assert (identity[:7], kind, found) == (b"\x7fELF\x02\x01\x01", 2, machine)
    segment, flags, offset, address, _, size, memory, _ = struct.unpack_from("<IIQQQQQQ", data, 64)
    assert (segment, flags, offset) == (1, 5, 0)
    assert size == memory == len(data)
    assert entry == address + 120
    assert data.endswith(b"text")


def test_it_runs_here(tmp_path: Path) -> None:
    """It writes its text, all of it, and exits with 0."""
    program = tmp_path / "hello"
    program.write_bytes(elf.hello(host().architecture, TEXT.encode()))
    program.chmod(0o755)
    done = subprocess.run([str(program)], capture_output=True, check=True)
    assert done.stdout.decode() == TEXT
    assert done.stderr == b""


@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="no qemu-aarch64 here")
def test_it_runs_on_arm(tmp_path: Path) -> None:
    """The same under emulation, where there is one."""
    program = tmp_path / "hello"
    program.write_bytes(elf.hello("arm64", b"arm\n"))
    program.chmod(0o755)
    done = subprocess.run(["qemu-aarch64", str(program)], capture_output=True, check=True)
    assert done.stdout == b"arm\n"


def test_arm_words_are_what_an_assembler_writes() -> None:
    """mov x0,#1; adr x1,text; mov x2,#5; mov x8,#64; svc #0; mov x0,#0; mov x8,#94; svc #0."""
    code = elf.hello("arm64", b"12345")[120:-5]
    assert struct.unpack("<8I", code) == (
        *(0xD2800020, 0x100000E1, 0xD28000A2, 0xD2800808),
        *(0xD4000001, 0xD2800000, 0xD2800BC8, 0xD4000001),
    )


def test_other_machines_have_none() -> None:
    """The daemon starts without the image there."""
    with pytest.raises(NotImplementedHere):
        elf.hello("s390x", b"")
