"""Verifies that no config.json, however wrong, ends in anything but an error with words: every field, every nonsense."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from sampan.linux.cgroup import Hierarchies, Hierarchy, devices
from sampan.linux.cgroup.resources import plan_v1, plan_v2
from sampan.linux.kernel import LinuxKernel
from sampan.runtime.create import rehearse
from sampan.runtime.request import Request
from sampan.runtime.tool.state import ToolError
from sampan.runtime.tool.validate import check_config
from tests.bad_values import VALUES, full_config, places, spoil

V2 = Hierarchies("v2", (), Hierarchy("/nonexistent", frozenset(), "/"))
STATE = {"ociVersion": "1.2.0", "id": "x", "bundle": "/b"}
TOP = sorted(full_config())
pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("top", ["", *TOP])
def test_every_field_with_every_nonsense(top: str) -> None:
    """It is refused by the check of types, or by the plan, with ValueError and words; or it has a plan."""
    config, kernel = full_config(), LinuxKernel()
    ways = [way for way in places(config) if (way[0] if way else "") == top]
    assert ways
    wrong = []
    for way in ways:
        for value in VALUES:
            try:
                _take(kernel, spoil(config, way, value))
            except (ToolError, ValueError) as error:
                wrong += [] if str(error) else [f"{way} = {value!r}: no words"]
            except Exception as error:
                wrong.append(f"{way} = {value!r}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def _take(kernel: LinuxKernel, config: Any) -> None:
    """All that is done with a configuration before anything exists."""
    check_config(config)
    rehearse(kernel, Request(config, state=STATE, hierarchies=V2))
    resources = (config.get("linux") or {}).get("resources") or {}
    devices.parse_rules(resources.get("devices") or [])
    for plan in (plan_v1, plan_v2):
        with contextlib.suppress(ValueError):
            plan(resources)


def test_the_whole_one_has_a_plan() -> None:
    """The control: without nonsense nothing is refused."""
    config = full_config()
    check_config(config)
    rehearse(LinuxKernel(), Request(config, state=STATE, hierarchies=V2))
