"""Seccomp filters do to every call what the profile says, judged by an interpreter and by libseccomp."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from sampan.linux.seccomp import KILL_PROCESS, KILL_THREAD, compile_profile
from sampan.linux.syscall_tables import numbers, widths
from sampan.spec.defaults import ALL_CAPABILITIES, CAPABILITIES
from sampan.spec.seccomp_profile import default_profile
from tests.fakes import libseccomp
from tests.fakes.bpf import run_classic, seccomp_data

X86_64, X86, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
X32 = 0x40000000
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026

try:
    libseccomp.library()
    HAS_LIBRARY = True
except OSError:
    HAS_LIBRARY = False
needs_library = pytest.mark.skipif(not HAS_LIBRARY, reason="libseccomp.so.2 is not installed")


def rule(names: str, action: str = "ALLOW", *args: tuple[Any, ...], **more: int) -> dict[str, Any]:
    made: dict[str, Any] = {"names": names.split(), "action": f"SCMP_ACT_{action}", **more}
    if args:
        made["args"] = [
            {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": (*rest, 0)[0]}
            for index, op, value, *rest in args
        ]
    return made


def profile(*rules: dict[str, Any], default: str = "ERRNO", **more: Any) -> dict[str, Any]:
    return {"defaultAction": f"SCMP_ACT_{default}", "syscalls": list(rules), **more}


def judge(of: dict[str, Any], name: str, *arguments: int, arch: int = X86_64) -> int:
    machine = {X86_64: "x86_64", X86: "x86_64", AARCH64: "aarch64", ARM: "aarch64"}[arch]
    table = numbers({X86_64: "x86_64", X86: "x86", AARCH64: "aarch64", ARM: "arm"}[arch])
    return run_classic(
        compile_profile(of, arch=machine), seccomp_data(arch, table[name], arguments)
    )


DEFAULT = default_profile(frozenset(CAPABILITIES), "x86_64", (6, 18))
assert DEFAULT is not None


@pytest.mark.parametrize(
    ("name", "arguments", "verdict"),
    [
        ("read", (), ALLOW),
        ("openat2", (), ALLOW),
        ("mseal", (), ALLOW),
        ("chroot", (), ALLOW),
        ("io_uring_setup", (), EPERM),
        ("bpf", (), EPERM),
        ("keyctl", (), EPERM),
        ("userfaultfd", (), EPERM),
        ("unshare", (), EPERM),
        ("clone3", (), ENOSYS),
        ("clone", (0x11,), ALLOW),
        ("clone", (0x10000000,), EPERM),
        ("clone", (1 << 40 | 0x02000000,), EPERM),
        ("socket", (1, 1, 0), ALLOW),
        ("socket", (38,), EPERM),
        ("socket", (39,), ALLOW),
        ("socket", (40,), EPERM),
        ("socket", (1 << 32 | 40,), EPERM),
        ("socket", (1 << 63 | 38,), EPERM),
        ("socket", (1 << 32 | 41,), ALLOW),
        ("personality", (0,), ALLOW),
        ("personality", (8,), ALLOW),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0xFFFFFFFFFFFFFFFF,), ALLOW),
        ("personality", (0x40000,), EPERM),
        ("personality", (1 << 32 | 0x40000,), EPERM),
        ("listns", (), ENOSYS),  # newer than all that the profile names
    ],
)
def test_default_profile(name: str, arguments: tuple[int, ...], verdict: int) -> None:
    """The default profile's decisions, the high halves of int arguments included."""
    assert DEFAULT is not None
    assert hex(judge(DEFAULT, name, *arguments)) == hex(verdict)


def test_more_capabilities_allow_more() -> None:
    """What a capability guards is allowed with it and refused without."""
    all_held = default_profile(frozenset(ALL_CAPABILITIES), "x86_64", (6, 18))
    assert all_held is not None
    for name in ("bpf", "clone3", "unshare", "reboot", "init_module", "setns", "syslog"):
        assert judge(all_held, name) == ALLOW
        assert judge(DEFAULT or {}, name) != ALLOW
    assert judge(all_held, "clone", 0x10000000) == ALLOW
    assert judge(all_held, "io_uring_setup") == EPERM


def test_architectures() -> None:
    """Other architectures of the family by the profile, all else kills; -1 is a tracer's cancelled call."""
    program = compile_profile(DEFAULT or {}, arch="x86_64")
    assert run_classic(program, seccomp_data(X86, numbers("x86")["socketcall"])) == ALLOW
    assert run_classic(program, seccomp_data(X86, numbers("x86")["bpf"])) == EPERM
    assert run_classic(program, seccomp_data(X86_64, numbers("x32")["read"])) == ALLOW
    assert run_classic(program, seccomp_data(X86_64, numbers("x32")["bpf"])) == EPERM
    for foreign in (AARCH64, ARM, 0, 0xFFFFFFFF):
        assert run_classic(program, seccomp_data(foreign, 0)) == KILL_PROCESS
    assert run_classic(program, seccomp_data(X86_64, 0xFFFFFFFF)) == EPERM
    alone = compile_profile(profile(rule("read")), arch="x86_64")
    assert run_classic(alone, seccomp_data(X86, numbers("x86")["read"])) == KILL_PROCESS
    assert run_classic(alone, seccomp_data(X86_64, numbers("x32")["read"])) == KILL_PROCESS
    assert run_classic(alone, seccomp_data(X86_64, 0xFFFFFFFF)) == EPERM


def test_unknown_numbers_answer_enosys_unless_the_default_lets_pass() -> None:
    """A number above all that the profile names is ENOSYS, in a gap below it is the default."""
    strict = compile_profile(profile(rule("read close dup")), arch="x86_64")
    verdicts = [run_classic(strict, seccomp_data(X86_64, n)) for n in (0, 1, 3, 31, 32, 33, 999)]
    assert verdicts == [ALLOW, EPERM, ALLOW, EPERM, ALLOW, ENOSYS, ENOSYS]
    for default in ("ALLOW", "LOG", "TRACE"):
        lax = profile(rule("read", "ERRNO"), default=default)
        program = compile_profile(lax, arch="x86_64")
        assert run_classic(program, seccomp_data(X86_64, 999)) not in (ENOSYS, EPERM)


@pytest.mark.parametrize(
    ("action", "number", "value"),
    [
        ("KILL", None, KILL_THREAD),
        ("KILL_THREAD", None, KILL_THREAD),
        ("KILL_PROCESS", None, KILL_PROCESS),
        ("TRAP", None, 0x00030000),
        ("ERRNO", None, EPERM),
        ("ERRNO", 13, 0x0005000D),
        ("TRACE", 7, 0x7FF00007),
        ("LOG", None, 0x7FFC0000),
        ("ALLOW", None, ALLOW),
    ],
)
def test_actions(action: str, number: int | None, value: int) -> None:
    """Every action as the kernel's return value, with its number."""
    more = {} if number is None else {"errnoRet": number}
    assert judge(profile(rule("read", action, **more), default="KILL_PROCESS"), "read") == value


VALUES = (
    0,
    1,
    5,
    6,
    7,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 32,
    (1 << 32) + 6,
    1 << 63,
    (1 << 64) - 1,
)
SEMANTICS = {
    "NE": lambda argument, value: argument != value,
    "LT": lambda argument, value: argument < value,
    "LE": lambda argument, value: argument <= value,
    "EQ": lambda argument, value: argument == value,
    "GE": lambda argument, value: argument >= value,
    "GT": lambda argument, value: argument > value,
}


@pytest.mark.parametrize("operator", SEMANTICS)
def test_operators_on_wide_and_narrow_arguments(operator: str) -> None:
    """All six comparisons, unsigned; `brk`'s argument has 64 bits, `dup`'s 32, `umask`-like modes 16."""
    for value, argument in itertools.product(VALUES, VALUES):
        wide = profile(rule("brk", "ALLOW", (0, operator, value)))
        expected = ALLOW if SEMANTICS[operator](argument, value) else EPERM
        assert judge(wide, "brk", argument) == expected, (operator, value, argument)
        narrow = profile(rule("dup", "ALLOW", (0, operator, value)))
        fitted = value & 0xFFFFFFFF if value >> 31 == (1 << 33) - 1 else value
        expected = ALLOW if SEMANTICS[operator](argument & 0xFFFFFFFF, fitted) else EPERM
        assert judge(narrow, "dup", argument) == expected, (operator, value, argument)


def test_modes_have_sixteen_bits() -> None:
    """A rule against setuid bits cannot be passed by bits that the kernel drops from a umode_t."""
    deny = profile(rule("chmod", "ERRNO", (1, "MASKED_EQ", 0o4000, 0o4000)), default="ALLOW")
    exact = profile(rule("chmod", "ERRNO", (1, "EQ", 0o4755)), default="ALLOW")
    for mode in (0o4755, 0o4755 | 1 << 16, 0o4755 | 1 << 40):
        assert judge(deny, "chmod", 0, mode) == EPERM
        assert judge(exact, "chmod", 0, mode) == EPERM
    assert judge(deny, "chmod", 0, 0o755) == judge(exact, "chmod", 0, 0o755) == ALLOW
    old = profile(
        rule("setuid", "ERRNO", (0, "EQ", 0)), default="ALLOW", architectures=["SCMP_ARCH_X86"]
    )
    assert judge(old, "setuid", 0x10000, arch=X86) == EPERM
    assert judge(old, "setuid", 1 << 32) == EPERM


def test_several_conditions_and_rules() -> None:
    """Conditions of a rule are joined by and, rules by or; the unconditional rule wins, equality goes first."""
    both = profile(
        rule("dup2", "ALLOW", (0, "EQ", 1), (1, "GT", 5)), rule("dup2", "ALLOW", (0, "EQ", 9))
    )
    verdicts = [judge(both, "dup2", *pair) for pair in ((1, 6), (1, 5), (2, 6), (9, 0))]
    assert verdicts == [ALLOW, EPERM, EPERM, ALLOW]
    whole = profile(rule("dup2", "ERRNO", (0, "EQ", 1), errnoRet=9), rule("dup2"))
    assert judge(whole, "dup2", 1) == ALLOW
    mixed = profile(
        rule("dup2", "ALLOW", (0, "GT", 30)), rule("dup2", "ERRNO", (0, "EQ", 40), errnoRet=9)
    )
    assert [judge(mixed, "dup2", n) for n in (30, 31, 40)] == [EPERM, ALLOW, 0x00050009]
    twice = profile(rule("dup2", "ALLOW", (0, "EQ", 1), (0, "EQ", 2)))
    assert [judge(twice, "dup2", n) for n in (1, 2, 3)] == [ALLOW, ALLOW, EPERM]
    constant = profile(
        rule("brk", "ALLOW", (0, "MASKED_EQ", 0, 0)), rule("dup", "ALLOW", (0, "MASKED_EQ", 1, 2))
    )
    assert judge(constant, "brk", 77) == ALLOW
    assert judge(constant, "dup", 2) == EPERM


def test_multiplexed_calls_of_32_bit_programs() -> None:
    """`socket` allowed means socketcall(SYS_SOCKET) allowed, and no other of its calls."""
    some = profile(
        rule("socket semop"),
        rule("connect", "ALLOW", (0, "EQ", 1)),
        architectures=["SCMP_ARCH_X86"],
    )
    assert judge(some, "socketcall", 1, arch=X86) == ALLOW
    assert judge(some, "socketcall", 2, arch=X86) == EPERM
    assert judge(some, "socketcall", 3, arch=X86) == EPERM
    assert judge(some, "ipc", 1, arch=X86) == ALLOW
    assert judge(some, "ipc", 2, arch=X86) == EPERM


@pytest.mark.parametrize(
    "broken",
    [
        profile(rule("read", "DANCE")),
        profile(rule("read", "ALLOW", (6, "EQ", 0))),
        profile(rule("read", "ALLOW", (0, "LIKE", 0))),
        profile(rule("read", "ALLOW", (0, "EQ", 1 << 64))),
        profile(rule("read", "ERRNO", errnoRet=1 << 16)),
        profile(rule("read"), architectures=["amd64"]),
        profile(*[rule("brk", "ALLOW", (0, "GT", n), (1, "EQ", n)) for n in range(2000)]),
        profile(*[rule(" ".join(numbers("x86_64")), "ALLOW", (0, "GT", n)) for n in range(400)]),
    ],
    ids=lambda broken: str(broken)[50:90],
)
def test_refused(broken: dict[str, Any]) -> None:
    """Nonsense and filters that the kernel could not load are refused, quickly, and never half compiled."""
    with pytest.raises(ValueError):
        compile_profile(broken, arch="x86_64")


def test_no_table_for_the_machine() -> None:
    """A machine without a table is an error rather than a filter that filters nothing."""
    with pytest.raises(ValueError, match="unsupported architecture"):
        compile_profile(profile(rule("read")), arch="ppc64le")


def test_long_filters_jump_far() -> None:
    """Ranges on both sides of more than 255 instructions are found."""
    names = sorted(numbers("x86_64"), key=numbers("x86_64").__getitem__)
    every_second = profile(
        *[rule(name, "ERRNO", errnoRet=2 + i % 50) for i, name in enumerate(names)]
    )
    program = compile_profile(every_second, arch="x86_64")
    assert len(program) // 8 > 600
    for index, name in enumerate(names):
        assert (
            run_classic(program, seccomp_data(X86_64, numbers("x86_64")[name]))
            == 0x50000 | 2 + index % 50
        )


@needs_library
@pytest.mark.parametrize("arch", libseccomp.ARCHITECTURES)
def test_numbers_are_those_of_libseccomp(arch: str) -> None:
    """Our table of numbers has every call that libseccomp has, under the same number."""
    theirs = libseccomp.names(arch, 600)
    ours = numbers(arch.removeprefix("SCMP_ARCH_").lower())
    assert {name: ours.get(name) for name in theirs.values()} == {v: k for k, v in theirs.items()}


@needs_library
@pytest.mark.parametrize(
    "held", [CAPABILITIES, ALL_CAPABILITIES, ()], ids=["default", "all", "none"]
)
def test_default_profile_against_libseccomp(held: tuple[str, ...]) -> None:
    """Over all numbers and telling arguments we differ from libseccomp where we say, and nowhere else."""
    of = default_profile(frozenset(held), "x86_64", (6, 18)) or {}
    ours, theirs = compile_profile(of, arch="x86_64"), libseccomp.compile_reference(of)
    known = {
        name
        for arch in ("X86_64", "X86", "X32")
        for name in libseccomp.names(f"SCMP_ARCH_{arch}", 600).values()
    }
    low = (0, 1, 8, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0x10000000, 0x7E020000, 0xFFFFFFFF)
    for arch, table in ((X86_64, "x86_64"), (X86, "x86"), (X86_64, "x32")):
        base = X32 if table == "x32" else 0
        names = {number: name for name, number in numbers(table).items()}
        newest = max(
            numbers(table)[name]
            for r in of["syscalls"]
            for name in r["names"]
            if name in numbers(table)
        )
        for number in range(base, base + 600):
            for value in (
                low if names.get(number) in ("socket", "personality", "clone") else (0, 40)
            ):
                data = seccomp_data(arch, number, (value,))
                expected = run_classic(theirs, data)
                if number > newest:
                    expected = ENOSYS
                elif number in names and names[number] not in known:
                    continue  # libseccomp is older than the call
                assert run_classic(ours, data) == expected, (
                    table,
                    number,
                    names.get(number),
                    hex(value),
                )


@needs_library
def test_random_profiles_against_libseccomp() -> None:
    """Arbitrary combinations of operators, values and rules on arguments without high bits agree."""
    import random

    dice = random.Random(7)
    points = (0, 1, 2, 7, 8, 255, 256, 0x7FFFFFFF, 0xFFFFFFFE)
    names = ("read", "socket", "personality", "kill", "mmap", "ioctl", "openat", "dup2")
    for _ in range(60):
        rules = []
        for _ in range(dice.randrange(1, 6)):
            indexes = dice.sample(range(3), dice.randrange(0, 3))
            args = [
                (
                    index,
                    dice.choice(["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]),
                    dice.choice(points),
                    dice.choice(points),
                )
                for index in indexes
            ]
            args = [
                (i, op, v, d & v) if op == "MASKED_EQ" else (i, op, v, 0) for i, op, v, d in args
            ]
            rules.append(rule(dice.choice(names), "ALLOW", *args))
        of = profile(*rules)
        ours, theirs = compile_profile(of, arch="x86_64"), libseccomp.compile_reference(of)
        newest = max(numbers("x86_64")[name] for r in rules for name in r["names"])
        for name in names:
            if numbers("x86_64")[name] > newest:
                continue
            for arguments in itertools.product(
                dice.sample(points, 4), dice.sample(points, 4), (0, 8)
            ):
                data = seccomp_data(X86_64, numbers("x86_64")[name], arguments)
                assert run_classic(ours, data) == run_classic(theirs, data), (
                    name,
                    arguments,
                    rules,
                )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("socket", (32, 32, 32)),
        ("personality", (32,)),
        ("clone", (32,)),
        ("chmod", (64, 16)),
        ("openat", (32, 64, 32, 16)),
        ("ioctl", (32, 32)),
        ("mmap", ()),
        ("unshare", ()),
    ],
)
def test_widths(name: str, expected: tuple[int, ...]) -> None:
    """How much of an argument the kernel looks at, for some calls whose prototypes are well known."""
    assert widths("x86_64").get(name, ()) == expected
