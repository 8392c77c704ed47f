"""The device filter of cgroup v2: a BPF_PROG_TYPE_CGROUP_DEVICE program, made and attached here.

Instructions are those of the kernel's Documentation/bpf/standardization/instruction-set.rst; the
program sees `struct bpf_cgroup_dev_ctx` {u32 access << 16 | type, u32 major, u32 minor} and returns
1 to allow. The rules are tried last to first, so that the last one that speaks decides.
"""

from __future__ import annotations

import _struct as struct
import os

from sampan.linux import cdll
from sampan.linux.cgroup.devices import Rule, effective
from sampan.linux.libc import Int, Libc, Pointer, UInt, check
from sampan.spec.typing import Any

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_ALLOW_MULTI = 1 << 1
_ACCESS = {"m": 1, "r": 2, "w": 4}
_TYPES = {"b": 1, "c": 2}
_ATTRIBUTE_SIZE = 128

# Opcodes: class | source | operation.
_LOAD_WORD, _MOV_REG, _MOV_IMM, _AND_IMM, _RSH_IMM = 0x61, 0xBF, 0xB7, 0x57, 0x77
_JNE_IMM, _JNE_REG, _JEQ_IMM, _EXIT = 0x56, 0x5D, 0x16, 0x95

_bpf_call = Libc().syscall("bpf", Int, Pointer, UInt)


def assemble(rules: list[Rule]) -> bytes:
    """The program for an ordered list of rules; what no rule names is denied."""
    program = [
        _instruction(_LOAD_WORD, 2, 1, 0),
        _instruction(_AND_IMM, 2, immediate=0xFFFF),
        _instruction(_LOAD_WORD, 3, 1, 0),
        _instruction(_RSH_IMM, 3, immediate=16),
        _instruction(_LOAD_WORD, 4, 1, 4),
        _instruction(_LOAD_WORD, 5, 1, 8),
    ]
    for rule in reversed(merged(effective(rules))):
        program += _block(rule)
        if rule.everything:
            break  # the verifier refuses instructions that nothing reaches
    else:
        program += _verdict(False)
    return b"".join(program)


def merged(rules: list[Rule]) -> list[Rule]:
    """Allowing `r` and then `w` of one device allows opening it for both, as in v1."""
    result: list[Rule] = []
    for rule in rules:
        if rule.allow and not rule.everything:
            for index in range(len(result) - 1, -1, -1):
                earlier = result[index]
                if not earlier.allow or earlier.everything:
                    break
                if earlier[:4] == rule[:4]:
                    letters = earlier.access + rule.access
                    rule = rule._replace(access="".join(x for x in "rwm" if x in letters))
                    del result[index]
                    break
        result.append(rule)
    return result


def _block(rule: Rule) -> list[bytes]:
    tests: list[tuple[int, int, int]] = []  # opcode, register, value: jump to the next rule
    if rule.type in _TYPES:
        tests.append((_JNE_IMM, 2, _TYPES[rule.type]))
    if rule.major >= 0:
        tests.append((_JNE_IMM, 4, rule.major))
    if rule.minor >= 0:
        tests.append((_JNE_IMM, 5, rule.minor))
    verdict = _verdict(rule.allow)
    access = _access_test(rule)
    length = len(tests) + len(access) + len(verdict)
    jumps = [
        _instruction(opcode, register, offset=length - index - 1, immediate=value)
        for index, (opcode, register, value) in enumerate(tests)
    ]
    return jumps + access + verdict


def _access_test(rule: Rule) -> list[bytes]:
    """An allowing rule must cover all that is asked for, a denying one any part of it."""
    if rule.access == "rwm":
        return []
    mask = sum(_ACCESS[letter] for letter in rule.access)
    copy = [_instruction(_MOV_REG, 1, 3), _instruction(_AND_IMM, 1, immediate=mask)]
    if rule.allow:
        return [*copy, _instruction(_JNE_REG, 1, 3, offset=2)]
    return [*copy, _instruction(_JEQ_IMM, 1, offset=2, immediate=0)]


def _verdict(allow: bool) -> list[bytes]:
    return [_instruction(_MOV_IMM, 0, immediate=int(allow)), _instruction(_EXIT)]


def _instruction(
    opcode: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    return struct.pack("<BBhI", opcode, source << 4 | destination, offset, immediate)


def attach(folder: str, rules: list[Rule]) -> None:
    """Put the rules in force on the v2 cgroup at `folder`, in place of those of an earlier call."""
    cgroup = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        old = _attached(cgroup)
        program = _load(assemble(rules))
        try:
            _bpf(
                _PROG_ATTACH,
                struct.pack("=IIII", cgroup, program, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI),
            )
        finally:
            os.close(program)
        # All attached programs must agree, so the new one counts before the old one goes.
        for identity in old:
            _detach(cgroup, identity)
    except OSError as error:
        raise OSError(error.errno, f"device filter: {error.strerror}", folder) from None
    finally:
        os.close(cgroup)


def _load(program: bytes) -> int:
    instructions = cdll.create_string_buffer(program, len(program))
    license_text = cdll.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQIIQII16s",
        _TYPE_CGROUP_DEVICE,
        len(program) // 8,
        cdll.addressof(instructions),
        cdll.addressof(license_text),
        0,
        0,
        0,
        0,
        0,
        b"sampan_devices",
    )
    fd = _bpf(_PROG_LOAD, attributes)
    os.set_inheritable(fd, False)
    return fd


def _attached(cgroup: int) -> list[int]:
    identities = (cdll.c_uint32 * 64)()
    attributes = struct.pack(
        "=IIIIQI",
        cgroup,
        _ATTACH_CGROUP_DEVICE,
        0,
        0,
        cdll.addressof(identities),
        len(identities),
    )
    buffer = _attributes(attributes)
    _call(_PROG_QUERY, buffer)
    (count,) = struct.unpack_from("=I", buffer.raw, 24)
    return list(identities[:count])


def _detach(cgroup: int, identity: int) -> None:
    try:
        program = _bpf(_PROG_GET_FD_BY_ID, struct.pack("=III", identity, 0, 0))
    except FileNotFoundError:
        return
    try:
        _bpf(_PROG_DETACH, struct.pack("=III", cgroup, program, _ATTACH_CGROUP_DEVICE))
    finally:
        os.close(program)


def _attributes(packed: bytes) -> cdll.Array[Any]:
    return cdll.create_string_buffer(packed.ljust(_ATTRIBUTE_SIZE, b"\0"), _ATTRIBUTE_SIZE)


def _bpf(command: int, packed: bytes) -> int:
    return _call(command, _attributes(packed))


def _call(command: int, attributes: cdll.Array[Any]) -> int:
    return check(_bpf_call(command, attributes, _ATTRIBUTE_SIZE))
