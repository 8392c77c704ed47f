"""Verifies which namespaces are made, which are joined, and by which calls."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.linux import constants as c
from sampan.runtime.context import Context
from sampan.runtime.namespaces import JoinNamespace, open_namespaces, parse_namespaces
from tests.fakes.kernel import RecordingKernel


def config(*entries: str) -> dict[str, Any]:
    """ "pid" is a new one, "pid=/path" one to join."""
    namespaces = []
    for entry in entries:
        kind, _, path = entry.partition("=")
        namespaces.append({"type": kind, **({"path": path} if path else {})})
    return {"linux": {"namespaces": namespaces}}


def test_new_and_joined() -> None:
    parsed = parse_namespaces(config("mount", "pid", "ipc=/i", "network", "cgroup"), {"network": 9})
    assert parsed.new == {"mount", "pid", "cgroup"}
    assert parsed.joined == ("network", "ipc")
    # The cgroup namespace is made later, by init itself.
    assert parsed.clone_flags == c.CLONE_NEWNS | c.CLONE_NEWPID
    assert parsed.own == {"mount", "pid", "cgroup", "network", "ipc"}


def test_a_descriptor_counts_without_an_entry() -> None:
    assert parse_namespaces(config("mount"), {"uts": 5}).joined == ("uts",)


@pytest.mark.parametrize(
    ("entries", "given", "text"),
    [
        (("pid",), {}, "needs a new mount namespace"),
        (("mount=/m",), {}, "needs a new mount namespace"),
        (("mount", "pid", "pid"), {}, "listed twice"),
        (("mount", "pid", "pid=/p"), {}, "listed twice"),
        (("mount", "odd"), {}, "not supported"),
        (("mount",), {"odd": 1}, "not supported"),
        (("mount", "user"), {}, "go together"),
    ],
)
def test_nonsense(entries: tuple[str, ...], given: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_namespaces(config(*entries), given)


def test_only_what_is_opened_here_is_ours_to_close() -> None:
    fake, opened = RecordingKernel(), []  # type: ignore[var-annotated]
    parsed = parse_namespaces(config("mount", "ipc=/i", "network"), {"network": 9})
    descriptors = open_namespaces(fake.kernel, parsed, {"network": 9}, opened)
    assert descriptors == {"network": 9, "ipc": 100}
    assert opened == [100]


def test_joining_names_the_kind_so_that_no_other_can_be_slipped_in() -> None:
    fake = RecordingKernel()
    JoinNamespace("ipc").execute(fake.kernel, Context(namespaces={"ipc": 8}))
    assert fake.calls == [("setns", (8, c.CLONE_NEWIPC))]
