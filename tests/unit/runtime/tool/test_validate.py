"""Verifies that a wrong field of config.json is told by its path, and that what is right passes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from sampan.runtime.tool.describing import example
from sampan.runtime.tool.state import ToolError
from sampan.runtime.tool.validate import check_config
from tests.bundles import make_config


def base() -> dict[str, Any]:
    return {**make_config("x"), "root": {"path": "rootfs"}}


def put(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """`value` at a path as `linux.resources.pids`; what is missing on the way is made."""
    *way, last = path.split(".")
    place = config
    for name in way:
        place = place.setdefault(name, {})
    place[last] = value
    return config


def test_good_ones_pass() -> None:
    check_config(base())
    check_config(example(rootless=False))
    check_config(example(rootless=True))


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("ociVersion", None, "ociVersion: required and missing"),
        ("ociVersion", "2.0.0", 'ociVersion: unknown version "2.0.0"'),
        ("root", {"readonly": True}, "root.path: required and missing"),
        ("process", None, "process: required and missing"),
        ("process.args", "sh", 'process.args: expected an array, not "sh"'),
        ("process.args", ["sh", 1], "process.args[1]: expected a string, not 1"),
        ("process.args", ["a\0b"], "process.args[0]: expected a string without NUL"),
        ("process.user", {"uid": -1}, "process.user.uid: expected an integer from 0 to 2147483647"),
        ("process.user", {"uid": 1 << 31}, "process.user.uid: expected an integer from 0"),
        ("process.user", {"uid": True}, "process.user.uid: expected an integer, not true"),
        ("process.terminal", 1, "process.terminal: expected true or false, not 1"),
        ("process.rlimits", [{"type": "RLIMIT_CORE"}], "process.rlimits[0].soft: required"),
        ("mounts", [{"type": "proc"}], "mounts[0].destination: required and missing"),
        (
            "linux.resources.memory.limit",
            "much",
            "linux.resources.memory.limit: expected an integer",
        ),
        ("linux.namespaces", [{"type": "x"}], "linux.namespaces[0].type: expected one of"),
        (
            "linux.sysctl",
            {"kernel.panic": "1"},
            'linux.sysctl["kernel.panic"]: is not in a separate',
        ),
        ("linux.sysctl", {"net.x": 1}, 'linux.sysctl["net.x"]: expected a string'),
        ("linux.sysctl", {"net.ipv4/../../kernel.x": "1"}, "is not the name of a sysctl"),
        ("linux.sysctl", {"net.a\nkernel.b": "1"}, "is not the name of a sysctl"),
        ("hooks.prestart", [{"path": "x"}], "hooks.prestart[0].path: expected an absolute path"),
        ("hooks.poststop", [{"path": "/x", "timeout": 0}], "hooks.poststop[0].timeout: expected"),
        ("windows", {"x": 1}, "windows: is not for Linux"),
        ("annotations", {"a": 1}, 'annotations["a"]: expected a string'),
    ],
)
def test_wrong_fields(path: str, value: Any, text: str) -> None:
    with pytest.raises(ToolError) as caught:
        check_config(put(base(), path, value))
    assert text in str(caught.value)


@pytest.mark.parametrize("value", [None, [], 1, "x"])
def test_what_is_no_object(value: Any) -> None:
    with pytest.raises(ToolError, match=r"config\.json: expected an object"):
        check_config(value)


def test_names_and_sysctls_need_their_namespaces() -> None:
    config = deepcopy(base())
    config["linux"]["namespaces"] = [{"type": "mount"}]
    with pytest.raises(ToolError, match="hostname: needs a uts namespace"):
        check_config(config)
    del config["hostname"]
    with pytest.raises(ToolError, match="needs a separate network namespace"):
        check_config(config)
