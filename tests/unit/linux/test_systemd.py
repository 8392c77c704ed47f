"""Verifies names of scopes and slices, and limits in systemd's words."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.linux.dbus import Variant
from sampan.linux.systemd import Scope, parse_path, properties_of, slice_path

INFINITY = (1 << 64) - 1


@pytest.mark.parametrize(
    ("text", "scope", "cgroup"),
    [
        ("", Scope("sampan-id.scope", "system.slice"), "/system.slice/sampan-id.scope"),
        (":p:n", Scope("p-n.scope", "system.slice"), "/system.slice/p-n.scope"),
        ("user.slice::n", Scope("n.scope", "user.slice"), "/user.slice/n.scope"),
        ("a-b.slice:p:n", Scope("p-n.scope", "a-b.slice"), "/a.slice/a-b.slice/p-n.scope"),
        ("-.slice:p:n", Scope("p-n.scope", "-.slice"), "/p-n.scope"),
    ],
)
def test_where_a_scope_is(text: str, scope: Scope, cgroup: str) -> None:
    """As runc reads "slice:prefix:name"."""
    assert parse_path(text, "id") == scope
    assert scope.cgroup == cgroup


@pytest.mark.parametrize(
    "text",
    ["/a/path", "a:b", "a:b:c:d", "x:p:n", "a--b.slice:p:n", "-a.slice:p:n", "a/b.slice:p:n", ":p:a/b",
     ":p:a b", ":p:" + "n" * 300, ":p:n.slice", "a.slice:p:\n"],
)  # fmt: skip
def test_what_is_no_scope(text: str) -> None:
    with pytest.raises(ValueError):
        parse_path(text, "id")


def test_slices_are_nested_by_their_names() -> None:
    assert slice_path("a-b-c.slice") == "/a.slice/a-b.slice/a-b-c.slice"


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({}, {}),
        ({"memory": {"limit": 1 << 20, "swap": 3 << 20, "reservation": 7}},
         {"MemoryMax": ("t", 1 << 20), "MemorySwapMax": ("t", 2 << 20), "MemoryLow": ("t", 7)}),
        ({"memory": {"limit": -1}}, {"MemoryMax": ("t", INFINITY)}),
        ({"memory": {"limit": 5, "swap": -1}}, {"MemoryMax": ("t", 5), "MemorySwapMax": ("t", INFINITY)}),
        ({"pids": {"limit": 10}}, {"TasksMax": ("t", 10)}),
        ({"pids": {"limit": -1}}, {"TasksMax": ("t", INFINITY)}),
        ({"cpu": {"shares": 1024}}, {"CPUWeight": ("t", 100)}),
        ({"cpu": {"quota": 20000, "period": 50000}},
         {"CPUQuotaPerSecUSec": ("t", 400000), "CPUQuotaPeriodUSec": ("t", 50000)}),
        ({"cpu": {"quota": -1}}, {"CPUQuotaPerSecUSec": ("t", INFINITY), "CPUQuotaPeriodUSec": ("t", 100000)}),
        ({"cpu": {"quota": 12345}}, {"CPUQuotaPerSecUSec": ("t", 130000), "CPUQuotaPeriodUSec": ("t", 100000)}),
        ({"cpu": {"cpus": "0-2, 9", "mems": "0"}},
         {"AllowedCPUs": ("ay", [7, 2]), "AllowedMemoryNodes": ("ay", [1])}),
    ],
)  # fmt: skip
def test_limits_in_systemds_words(resources: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = dict(properties_of(resources))
    assert found == {name: Variant(*pair) for name, pair in wanted.items()}
