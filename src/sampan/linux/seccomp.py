"""From OCI `linux.seccomp` to the kernel's filter program, in plain Python.

The program dispatches on the architecture, then searches the number in sorted ranges, then compares
arguments. Differences from libseccomp, all of them stricter or as runc has it:

- The kernel looks only at the low half of an `int` argument, so only that half is compared: libseccomp
  compares 64 bits, by which `socket(1 << 32 | AF_VSOCK, …)` passes a rule against AF_VSOCK.
- A number above all those that the profile names is unknown to its author: ENOSYS, so that
  libraries fall back (as runc's stub does), unless the default action lets calls pass.
- An architecture that is not listed kills the process, not only the thread.

Out of scope: who listens where SCMP_ACT_NOTIFY stands, big-endian machines.
"""

from __future__ import annotations

import json
from functools import lru_cache

from sampan.linux.bpf import (
    AND,
    JUMP_EQ,
    JUMP_GE,
    JUMP_GT,
    LIMIT,
    LOAD,
    Instruction,
    Piece,
    assemble,
    branch,
    give,
    load,
)
from sampan.linux.syscall_tables import MULTIPLEXED, X32_BIT, numbers, widths
from sampan.spec.typing import Any, Mapping, NamedTuple, Sequence

KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
_ERRNO, _TRACE = 0x00050000, 0x7FF00000
_EPERM, _ENOSYS = 1, 38
ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_TRACE": _TRACE,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
# With these as default the author lets pass what he does not know.
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")

_AUDIT_ARCH = {
    "x86_64": 0xC000003E,
    "x86": 0x40000003,
    "aarch64": 0xC00000B7,
    "arm": 0x40000028,
}
ARCHITECTURES = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "x86",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
}
_NARROW = ("x86", "arm")
OPERATORS = frozenset(
    "SCMP_CMP_" + name for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
)

_OPPOSITES = {
    "SCMP_CMP_NE": "SCMP_CMP_EQ",
    "SCMP_CMP_LT": "SCMP_CMP_GE",
    "SCMP_CMP_LE": "SCMP_CMP_GT",
}

_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_LOW = 0xFFFFFFFF
_WORK_LIMIT = 16 * LIMIT  # before equal neighbours are joined
_NO_CALL = 0xFFFFFFFF  # -1: a tracer has cancelled the call


class Condition(NamedTuple):
    argument: int
    operator: str
    value: int
    datum: int
    """With MASKED_EQ `value` is the mask and this what must be left."""


NEXT, YES, NO = "next", "yes", "no"


class Step(NamedTuple):
    """An instruction whose jumps are not yet distances."""

    code: int
    constant: int
    if_true: str
    if_false: str


class Rule(NamedTuple):
    action: int
    conditions: tuple[Condition, ...]


class Range(NamedTuple):
    """Numbers from `first` up to the next range's, and what becomes of them."""

    first: int
    code: tuple[Instruction, ...]


def compile_profile(profile: Mapping[str, Any], *, arch: str) -> bytes:
    """The program (an array of `struct sock_filter`) for a machine `arch`, uname's word.

    Conditions on capabilities are resolved before (`sampan.spec.seccomp_profile`). Cached by content.
    Raises `ValueError` for what a profile may not say and for an `arch` without a table.
    """
    return _compiled(json.dumps(profile), arch)


@lru_cache(maxsize=64)
def _compiled(profile: str, arch: str) -> bytes:
    return assemble(_compile(json.loads(profile), arch))


def _compile(profile: Mapping[str, Any], native: str) -> Piece:
    if native not in _AUDIT_ARCH:
        raise ValueError(f"seccomp: unsupported architecture: {native}")
    architectures = [native]
    for name in profile.get("architectures") or ():
        if not name.startswith("SCMP_ARCH_"):
            raise ValueError(f"seccomp: unknown architecture: {name}")
        # Others than those of this machine's family can never make a call here.
        arch = ARCHITECTURES.get(name)
        if arch is not None and arch not in architectures:
            architectures.append(arch)
    program: Piece = [give(KILL_PROCESS)]
    for arch in reversed([arch for arch in architectures if arch in _AUDIT_ARCH]):
        others = [give(KILL_PROCESS)]
        if arch == "x86_64" and "x32" in architectures:
            others = _search(_ranges(profile, "x32"))
        body = [load(_NUMBER_AT), *_dispatch(profile, arch, others)]
        program = branch(JUMP_EQ, _AUDIT_ARCH[arch], body, program)
    return [load(_ARCH_AT), *program]


def _dispatch(profile: Mapping[str, Any], arch: str, x32: Piece) -> Piece:
    own = _search(_ranges(profile, arch))
    if arch != "x86_64":
        return own
    default = [give(_default_action(profile))]
    return branch(JUMP_GE, X32_BIT, branch(JUMP_EQ, _NO_CALL, default, x32), own)


def _search(ranges: Sequence[Range]) -> Piece:
    """A binary search over ranges; the number is in the accumulator."""
    if len(ranges) == 1:
        return list(ranges[0].code)
    middle = len(ranges) // 2
    upper, lower = _search(ranges[middle:]), _search(ranges[:middle])
    return branch(JUMP_GE, ranges[middle].first, upper, lower)


def _ranges(profile: Mapping[str, Any], arch: str) -> list[Range]:
    default = (give(_default_action(profile)),)
    decided = _decide(profile, arch)
    unknown = default
    if _hides_unknown(profile):
        unknown = (give(_ERRNO | _ENOSYS),)
    newest = max(decided, default=-1)
    ranges: list[Range] = []
    expected = 0

    def add(first: int, code: tuple[Instruction, ...]) -> None:
        if not ranges or ranges[-1].code != code:
            ranges.append(Range(first, code))

    for number in sorted(decided):
        if number > expected:
            add(expected, default)
        add(number, decided[number])
        expected = number + 1
    add(newest + 1, unknown)
    return ranges


def _hides_unknown(profile: Mapping[str, Any]) -> bool:
    return profile["defaultAction"] not in _PERMISSIVE


def _decide(profile: Mapping[str, Any], arch: str) -> dict[int, tuple[Instruction, ...]]:
    """Number → code, for every call of `arch` that a rule names."""
    table = numbers(arch)
    default = _default_action(profile)
    rules: dict[str, list[Rule]] = {}
    for entry in profile.get("syscalls") or ():
        for rule in _parse(entry):
            # What asks for the default only says that the author knows the call.
            for name in entry["names"]:
                known = rules.setdefault(name, [])
                if rule.action != default:
                    known.append(rule)
    if arch in _NARROW:
        _add_multiplexed(rules)
    limits = widths(arch)
    decided = {}
    length = 0
    for name, found in rules.items():
        if name in table:
            code = _choose(found, default, limits.get(name, ()), narrow=arch in _NARROW)
            decided[table[name]] = tuple(code)
            length += len(code)
            if length > _WORK_LIMIT:
                raise ValueError("the seccomp profile is too large")
    return decided


def _add_multiplexed(rules: dict[str, list[Rule]]) -> None:
    """A rule for `socket` holds for `socketcall(SYS_SOCKET, …)` too, if it looks at no argument.

    The arguments are in memory then. Not where the profile speaks of the multiplexer as a whole.
    """
    for multiplexer, names in MULTIPLEXED.items():
        whole = rules.get(multiplexer)
        if whole is not None and any(not rule.conditions for rule in whole):
            continue
        for call, name in enumerate(names):
            for rule in rules.get(name, ()):
                if not rule.conditions:
                    first = Condition(0, "SCMP_CMP_EQ", call, 0)
                    rules.setdefault(multiplexer, []).append(Rule(rule.action, (first,)))


def _choose(rules: list[Rule], default: int, limits: tuple[int, ...], *, narrow: bool) -> Piece:
    """As in libseccomp: a rule without conditions wins over all; equalities are tried first."""
    for rule in rules:
        if not rule.conditions:
            return [give(rule.action)]
    code: Piece = []
    for rule in sorted(rules, key=_compares_order):
        code += _conditional(rule, limits, narrow=narrow)
        if len(code) > LIMIT:
            raise ValueError(f"the seccomp filter is too long: more than {LIMIT} instructions")
    return [*code, give(default)]


def _compares_order(rule: Rule) -> bool:
    return any(condition.operator != "SCMP_CMP_EQ" for condition in rule.conditions)


def _conditional(rule: Rule, limits: tuple[int, ...], *, narrow: bool) -> Piece:
    """Code that returns the action where all conditions hold, and else falls out at its end."""
    code = [give(rule.action)]
    for condition in reversed(rule.conditions):
        width = limits[condition.argument] if condition.argument < len(limits) else 64
        steps = compare(condition, min(width, 32) if narrow else width)
        if steps is False:
            return []
        if steps is not True:
            code = [*_place(steps, len(code)), *code]
    return code


def _place(steps: list[Step], behind: int) -> Piece:
    """`yes` goes on behind the steps, `no` past the `behind` instructions that follow them."""
    piece = []
    for index, (code, constant, if_true, if_false) in enumerate(steps):
        left = len(steps) - index - 1
        distance = {NEXT: 0, YES: left, NO: left + behind}
        piece.append(Instruction(code, distance[if_true], distance[if_false], constant))
    return piece


def compare(condition: Condition, width: int) -> list[Step] | bool:
    """The steps that decide a condition on an argument of `width` bits; a bool when none are needed."""
    operator = condition.operator
    if operator in _OPPOSITES:
        steps = compare(condition._replace(operator=_OPPOSITES[operator]), width)
        return not steps if isinstance(steps, bool) else [_turned(step) for step in steps]
    value = _fit(condition.value, width)
    if operator == "SCMP_CMP_MASKED_EQ":
        return _equal(condition.argument, width, value, _fit(condition.datum, width))
    if operator == "SCMP_CMP_EQ":
        return _equal(condition.argument, width, (1 << width) - 1, value)
    return _greater(condition.argument, width, value, operator)


def _turned(step: Step) -> Step:
    swap = {YES: NO, NO: YES, NEXT: NEXT}
    return step._replace(if_true=swap[step.if_true], if_false=swap[step.if_false])


def _fit(value: int, width: int) -> int:
    """A negative number, written with 64 or 32 bits, is that number in the argument's width."""
    for written in (64, 32):
        if width < written and value >> (width - 1) == (1 << (written - width + 1)) - 1:
            return int(value & ((1 << width) - 1))
    return value


def _equal(argument: int, width: int, chosen: int, wanted: int) -> list[Step] | bool:
    """Whether the `chosen` bits of the argument are `wanted`."""
    chosen &= (1 << width) - 1
    if wanted & ~chosen:
        return False
    steps: list[Step] = []
    for half in (1, 0):
        bits, value = chosen >> 32 * half & _LOW, wanted >> 32 * half & _LOW
        if bits:
            steps.append(_load_argument(argument, half))
            if bits != _LOW:
                steps.append(Step(AND, bits, NEXT, NEXT))
            steps.append(Step(JUMP_EQ, value, NEXT, NO))
    if not steps:
        return True
    return [*steps[:-1], steps[-1]._replace(if_true=YES)]


def _greater(argument: int, width: int, value: int, operator: str) -> list[Step] | bool:
    """GT or GE, unsigned, as libseccomp compares."""
    if value >> width:
        return False
    last = JUMP_GT if operator == "SCMP_CMP_GT" else JUMP_GE
    steps = []
    if width == 64:
        steps.append(_load_argument(argument, 1))
        steps.append(Step(JUMP_GT, value >> 32, YES, NEXT))
        steps.append(Step(JUMP_EQ, value >> 32, NEXT, NO))
    steps.append(_load_argument(argument, 0))
    if width == 16:
        steps.append(Step(AND, 0xFFFF, NEXT, NEXT))
    return [*steps, Step(last, value & _LOW, YES, NO)]


def _load_argument(argument: int, half: int) -> Step:
    return Step(LOAD, _ARGUMENTS_AT + 8 * argument + 4 * half, NEXT, NEXT)


def _default_action(profile: Mapping[str, Any]) -> int:
    return _action(profile["defaultAction"], profile.get("defaultErrnoRet"))


def _action(name: str, number: int | None) -> int:
    if name not in ACTIONS:
        raise ValueError(f"seccomp: unsupported action: {name}")
    value = ACTIONS[name]
    if value in (_ERRNO, _TRACE):
        data = _EPERM if number is None else number
        if not 0 <= data <= 0xFFFF:
            raise ValueError(f"seccomp: errno out of range: {data}")
        return value | data
    return value


def _parse(entry: Mapping[str, Any]) -> list[Rule]:
    action = _action(entry["action"], entry.get("errnoRet"))
    conditions = tuple(_condition(argument) for argument in entry.get("args") or ())
    # Two conditions on one argument are two rules, either of which suffices (as in runc).
    if len({condition.argument for condition in conditions}) < len(conditions):
        return [Rule(action, (condition,)) for condition in conditions]
    return [Rule(action, conditions)]


def _condition(argument: Mapping[str, Any]) -> Condition:
    index, operator = argument["index"], argument["op"]
    value, datum = argument.get("value") or 0, argument.get("valueTwo") or 0
    if operator not in OPERATORS:
        raise ValueError(f"seccomp: unknown operator: {operator}")
    if not 0 <= index <= 5:
        raise ValueError(f"seccomp: there is no argument {index}")
    for number in (value, datum):
        if not 0 <= number < 1 << 64:
            raise ValueError(f"seccomp: value out of range: {number}")
    return Condition(index, operator, value, datum)
