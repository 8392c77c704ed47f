"""Device rules mean the same in v1's files and in v2's program."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from sampan.linux.cgroup.devices import Rule, apply_v1, effective, parse_rules
from sampan.linux.cgroup.devices_bpf import assemble, merged
from sampan.spec.resources import device_rules
from tests.fakes.bpf import device_context, run_extended

DENY_ALL = {"allow": False, "access": "rwm"}


def decide(devices: list[dict[str, Any]], text: str) -> bool:
    kind, major, minor, access = text.replace(":", " ").split()
    program = assemble(parse_rules(devices))
    return bool(run_extended(program, device_context(kind, int(major), int(minor), access)))


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        ("c 1 3 rw", True),
        ("c 1 3 rwm", True),
        ("c 136 7 rw", True),
        ("b 254 0 m", True),
        ("b 254 0 r", False),
        ("c 1 1 r", False),
        ("c 1 1 m", True),
        ("b 1 3 rw", False),
        ("c 10 229 rw", False),
        ("c 10 200 rw", True),
        ("c 5 1 rw", True),
    ],
)
def test_the_default_rules(request_: str, allowed: bool) -> None:
    """What a container may do with the nodes it can make: null yes, a disk no."""
    assert decide(device_rules(), request_) is allowed


def test_the_last_rule_that_speaks_decides() -> None:
    """A later denial takes away any part, a later permission gives only what it names."""
    some = [
        DENY_ALL,
        {"allow": True, "type": "c", "major": 1, "access": "rwm"},
        {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "w"},
    ]
    verdicts = [
        decide(some, f"c 1 {minor} {access}")
        for minor, access in itertools.product((4, 5), ("r", "w", "rw"))
    ]
    assert verdicts == [True, True, True, True, False, False]
    piecewise = [
        DENY_ALL,
        {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "r"},
        {"allow": True, "type": "c", "major": 9, "minor": 0, "access": "r"},
        {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "w"},
    ]
    assert decide(piecewise, "b 8 0 rw")
    assert not decide(piecewise, "b 8 0 m")
    assert decide([{"allow": True, "access": "rwm"}], "b 200 200 rwm")
    assert not decide([DENY_ALL], "c 1 3 r")
    assert not decide([], "c 1 3 r")


def test_a_denial_between_is_kept() -> None:
    """Permissions are joined only where nothing between them denies."""
    rules = parse_rules(
        [
            {"allow": True, "type": "c", "major": 1, "minor": 1, "access": "r"},
            {"allow": False, "type": "c", "major": 1, "minor": 1, "access": "r"},
            {"allow": True, "type": "c", "major": 1, "minor": 1, "access": "w"},
        ]
    )
    assert merged(rules) == rules


@pytest.mark.parametrize(
    ("device", "rules"),
    [
        (DENY_ALL, ["a"]),
        ({"allow": True, "type": "a"}, ["a"]),
        ({"allow": True, "type": "a", "major": 5, "access": "r"}, ["b 5:* r", "c 5:* r"]),
        ({"allow": True, "type": "u", "major": 5, "minor": 0, "access": "rw"}, ["c 5:0 rw"]),
        ({"allow": True, "type": "c", "major": -1, "minor": -1, "access": "mrw"}, ["c *:* rwm"]),
    ],
)
def test_parse(device: dict[str, Any], rules: list[str]) -> None:
    """As v1 writes them; a rule for both types with numbers is two, lest v1 read it as everything."""
    assert [str(rule) for rule in parse_rules([device])] == rules


@pytest.mark.parametrize(
    "device",
    [
        {"allow": True, "type": "x", "access": "r"},
        {"allow": True, "type": "c", "access": "rx"},
        {"allow": True, "type": "c", "major": 1 << 32, "access": "r"},
        {"allow": True, "type": "c", "minor": -2, "access": "r"},
    ],
)
def test_parse_refuses(device: dict[str, Any]) -> None:
    """Types, letters and numbers that do not exist."""
    with pytest.raises(ValueError):
        parse_rules([device])


def test_what_is_void_is_left_out() -> None:
    """Rules before one about everything do not count, and every path of the program ends."""
    rules = parse_rules(
        [
            {"allow": True, "type": "c", "major": 1, "access": "r"},
            DENY_ALL,
            {"allow": True, "type": "b", "access": "m"},
        ]
    )
    assert effective(rules) == rules[1:]
    assert len(assemble([Rule(True, "a", -1, -1, "rwm")])) // 8 == 8


def v1_folder(tmp_path: Path, listed: str) -> Path:
    (tmp_path / "devices.list").write_text(listed)
    for name in ("devices.allow", "devices.deny"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("listed", "devices", "denied", "allowed"),
    [
        ("a *:* rwm\n", [], "", ""),
        ("a *:* rwm\n", [{"allow": True, "access": "rwm"}], "", ""),
        ("c 1:3 rwm\n", [{"allow": True, "access": "rwm"}], "", "a"),
        (
            "a *:* rwm\n",
            [DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}],
            "a",
            "c 1:3 r",
        ),
        (
            "c 1:3 r\n",
            [DENY_ALL, {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}],
            "",
            "",
        ),
        ("a *:* rwm\n", [{"allow": False, "type": "b", "major": 8, "access": "w"}], "b 8:* w", ""),
    ],
)
def test_v1_files(
    tmp_path: Path, listed: str, devices: list[dict[str, Any]], denied: str, allowed: str
) -> None:
    """Only what changes something is written: the kernel refuses `a` when the cgroup has children."""
    folder = v1_folder(tmp_path, listed)
    assert apply_v1(str(folder), parse_rules(devices)) == []
    assert (folder / "devices.deny").read_text() == denied
    assert (folder / "devices.allow").read_text() == allowed
