"""Verifies what another OCI runtime is told of a container, and what is made of its errors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sampan.monitor.foreign import Foreign, failure_of, foreign_config
from sampan.monitor.runtime import Plan
from sampan.runtime.failure import RuntimeFailure
from sampan.spec.mount import PART
from tests.bundles import make_config


def plan(**more: Any) -> Plan:
    return Plan("/d", (0, 1, 2), **more)


def test_namespaces_are_named_by_path_and_the_root_is_the_mounted_one() -> None:
    config = foreign_config(make_config("x"), "/d/bundle/rootfs", plan(namespaces={"network": 9}))
    assert config["root"] == {"path": "/d/bundle/rootfs"}
    kinds = {entry["type"]: entry.get("path") for entry in config["linux"]["namespaces"]}
    assert kinds.pop("network") == f"/proc/{os.getpid()}/fd/9"
    assert set(kinds.values()) == {None}


def test_the_terminal_and_its_size_are_the_plans() -> None:
    process = foreign_config(make_config("x"), "/r", plan(terminal=True, console_size=(33, 77)))[
        "process"
    ]
    assert process["terminal"] is True
    assert process["consoleSize"] == {"height": 33, "width": 77}


def test_rules_that_every_runtime_adds_itself_are_left_to_it() -> None:
    rules = foreign_config(make_config("x"), "/r", plan())["linux"]["resources"]["devices"]
    assert {"allow": False, "access": "rwm"} in rules
    assert not [rule for rule in rules if rule["access"] == "m"]


def test_what_only_our_own_can_do_is_refused() -> None:
    config = make_config("x")
    config["mounts"].append({"destination": "/x", "type": "overlay", "options": [f"{PART}sub"]})
    with pytest.raises(ValueError, match="only by the runtime sampan"):
        foreign_config(config, "/r", plan())


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        (
            'runc create failed: unable to start container process: exec: "x": executable file not found in $PATH',
            'exec: "x": executable file not found in $PATH',
            127,
        ),
        ("unable to start container process: exec: permission denied", "exec: permission denied", 126),
        ("cgroup is full", "cgroup is full", None),
    ],
)  # fmt: skip
def test_failures(text: str, message: str, code: int | None) -> None:
    failure = failure_of(text, "create")
    assert (failure.message, failure.exit_code) == (message, code)


def test_a_program_that_fails_tells_what_it_logged(tmp_path: Path) -> None:
    """The last error of its log; without one its exit status; and no file is left."""
    program = tmp_path / "runtime"
    program.write_text(
        '#!/bin/sh\nwhile [ "$1" != --log ]; do shift; done\n'
        'echo \'{"level":"error","msg":"it went wrong"}\' > "$2"\nexit 1\n'
    )
    program.chmod(0o755)
    foreign = Foreign((str(program),), str(tmp_path), "x")
    with pytest.raises(RuntimeFailure, match="it went wrong"):
        foreign.call("create")
    with pytest.raises(RuntimeFailure, match="exit 1"):
        Foreign(("/bin/false",), str(tmp_path), "x").call("create")
    with pytest.raises(RuntimeFailure, match="No such file"):
        Foreign((f"{tmp_path}/nope",), str(tmp_path), "x").call("create")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runtime"]
