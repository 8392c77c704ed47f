"""The default profile means what moby's does, and profiles in Docker's format are resolved as dockerd does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.seccomp_profile import default_profile, load, resolve, resolve_security_option

# Evaluated from moby's profile of August 2026: per architecture the calls allowed without any capability, the
# conditional ones as [action, errno, [[index, operator, value, value two], …]], and what each capability changes.
GOLDEN = json.loads((Path(__file__).parents[2] / "golden/seccomp/default.json").read_text())
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
PLAIN = [["ALLOW", 0, []]]
NEW = (6, 18)


def meaning(profile: dict[str, Any] | None) -> dict[str, list[Any]]:
    assert profile is not None
    table: dict[str, list[Any]] = {}
    for rule in profile["syscalls"]:
        arguments = [
            [
                item["index"],
                item["op"].removeprefix("SCMP_CMP_"),
                item["value"],
                item.get("valueTwo", 0),
            ]
            for item in rule.get("args", [])
        ]
        entry = [rule["action"].removeprefix("SCMP_ACT_"), rule.get("errnoRet", 0), arguments]
        for name in rule["names"]:
            table.setdefault(name, []).append(entry)
    return table


@pytest.mark.parametrize("arch", MACHINES)
def test_default_means_what_mobys_means(arch: str) -> None:
    """Every call, with no capability, with each that matters, and on an old kernel, as in the golden record."""
    golden = GOLDEN[arch]
    profile = default_profile(frozenset(), MACHINES[arch], NEW)
    assert profile is not None
    assert [profile["defaultAction"], profile["defaultErrnoRet"]] == GOLDEN["default"]
    assert profile["architectures"] == GOLDEN["architectures"][arch]
    base = meaning(profile)
    assert sorted(name for name, rules in base.items() if rules == PLAIN) == golden["allowed"]
    assert {name: rules for name, rules in base.items() if rules != PLAIN} == golden["conditional"]
    for capability, difference in golden["with"].items():
        found = meaning(default_profile(frozenset([capability]), MACHINES[arch], NEW))
        assert {n: r for n, r in found.items() if base.get(n) != r} == difference["changed"], (
            capability
        )
        assert sorted(set(base) - set(found)) == difference["gone"], capability
    old = meaning(default_profile(frozenset(), MACHINES[arch], (4, 7)))
    assert sorted(set(base) - set(old)) == golden["gone before 4.8"]


def test_machine_without_a_table() -> None:
    """No filter can be made for it, which is said by None."""
    assert default_profile(frozenset(), "ppc64le", NEW) is None


def test_security_option() -> None:
    """unconfined is no filter, nothing is the default, text is a profile."""
    assert resolve_security_option("unconfined", frozenset(), "x86_64", NEW) is None
    assert resolve_security_option("", frozenset(), "x86_64", NEW) == default_profile(
        frozenset(), "x86_64", NEW
    )
    text = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    assert resolve_security_option(text, frozenset(), "x86_64", NEW) == {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [],
    }


def _names(
    rule: dict[str, Any], *, capabilities: tuple[str, ...] = (), kernel: tuple[int, int] = NEW
) -> bool:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", **rule}],
    }
    return bool(resolve(profile, frozenset(capabilities), "x86_64", kernel)["syscalls"])


@pytest.mark.parametrize(
    ("rule", "options", "applies"),
    [
        ({}, {}, True),
        ({"includes": {"caps": ["CAP_A", "CAP_B"]}}, {"capabilities": ("CAP_A",)}, False),
        ({"includes": {"caps": ["CAP_A", "CAP_B"]}}, {"capabilities": ("CAP_A", "CAP_B")}, True),
        ({"excludes": {"caps": ["CAP_A", "CAP_B"]}}, {"capabilities": ("CAP_B",)}, False),
        ({"excludes": {"caps": ["CAP_A"]}}, {}, True),
        ({"includes": {"arches": ["arm64"]}}, {}, False),
        ({"includes": {"arches": ["amd64"]}}, {}, True),
        ({"excludes": {"arches": ["amd64"]}}, {}, False),
        ({"includes": {"minKernel": "5.10"}}, {"kernel": (5, 9)}, False),
        ({"includes": {"minKernel": "5.10"}}, {"kernel": (5, 10)}, True),
        ({"excludes": {"minKernel": "5.10"}}, {"kernel": (6, 0)}, False),
        ({"includes": None, "excludes": None}, {}, True),
    ],
)
def test_conditions(rule: dict[str, Any], options: dict[str, Any], applies: bool) -> None:
    """All that a rule includes must hold and nothing that it excludes."""
    assert _names(rule, **options) is applies


def test_fields_are_carried_over() -> None:
    """Old-style `name`, architectures, flags, errno and arguments reach the OCI object."""
    profile = {
        "defaultAction": "SCMP_ACT_KILL",
        "defaultErrnoRet": 5,
        "archMap": [
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": None},
        ],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {
                "name": "read",
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 2,
                "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
            }
        ],
    }
    assert resolve(profile, frozenset(), "x86_64", NEW) == {
        "defaultAction": "SCMP_ACT_KILL",
        "defaultErrnoRet": 5,
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {
                "names": ["read"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 2,
                "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
            }
        ],
    }


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"defaultAction": "SCMP_ACT_DANCE"},
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["a"], "name": "b", "action": "SCMP_ACT_LOG"}],
        },
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"]}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [1], "action": "SCMP_ACT_LOG"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ["read"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": 7},
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["a"],
            "archMap": [{"architecture": "b"}],
        },
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["a"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "six"}}
            ],
        },
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"value": "x"}]}],
        },
    ],
)
def test_broken_profiles(profile: dict[str, Any]) -> None:
    """A profile that is none is the caller's fault, whatever is wrong with it."""
    with pytest.raises(InvalidParameter):
        resolve(profile, frozenset(), "x86_64", NEW)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000, '"' + "x" * (5 << 20) + '"'])
def test_broken_texts(text: str) -> None:
    """What is no JSON object, too deep or too large is refused."""
    with pytest.raises(InvalidParameter, match="Decoding seccomp profile failed"):
        load(text)
