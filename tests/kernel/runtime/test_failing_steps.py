"""Verifies that whichever step fails, the host is as it was: no mount, cgroup, process, descriptor (P-clean)."""

from __future__ import annotations

import pytest

from sampan.runtime.failure import RuntimeFailure
from tests.fakes.kernel import FailingKernel
from tests.kernel.conftest import Box
from tests.ledger import Ledger

# More calls than any of these containers needs.
ENOUGH = 1000


def _config(box: Box) -> dict[str, object]:
    config = box.config("true")
    source = box.folder / "data"
    source.mkdir(exist_ok=True)
    entry = {"destination": "/data/new", "type": "bind", "source": str(source)}
    config["mounts"].append({**entry, "options": ["rbind", "ro", "rprivate"]})
    config["linux"]["namespaces"].append({"type": "cgroup"})
    config["root"] = {"readonly": True}
    return config


def _try(box: Box, kernel: FailingKernel) -> RuntimeFailure | None:
    """Create with a terminal, and take it back; the failure, when a step failed."""
    try:
        created = box.create(_config(box), kernel=kernel, terminal=True)
    except RuntimeFailure as failure:
        return failure
    created.abort()
    return None


@pytest.mark.parametrize("where", ["parent_at", "child_at"])
def test_every_call_fails_in_turn(box: Box, where: str) -> None:
    before = Ledger.take(box.id)
    failures = 0
    passed_in_a_row = 0
    for number in range(ENOUGH):
        failure = _try(box, FailingKernel(**{where: number}))
        if failure is None:
            # Some calls may fail without harm; when several in a row pass, none was left to fail.
            passed_in_a_row += 1
            if passed_in_a_row == 10:
                break
            continue
        failures, passed_in_a_row = failures + 1, 0
        assert str(failure).startswith("unable to start container process: ")
        assert failure.step
        assert getattr(failure, "__notes__", []) == []
        if number % 10 == 0:
            before.require_same()
    assert 10 < failures < ENOUGH
    before.require_same()


def test_a_limit_that_the_kernel_refuses(box: Box) -> None:
    config = box.config("true")
    config["linux"]["resources"]["cpu"] = {"period": 1}
    with pytest.raises(RuntimeFailure, match="error setting cgroup limits"):
        box.create(config)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"process": {"args": []}}, "process.args must not be empty"),
        ({"process": {"args": ["x"], "cwd": "relative"}}, "Cwd must be an absolute path"),
        ({"process": {"args": ["x"], "user": {"uid": 1 << 32}}}, "invalid uid: 4294967296"),
        ({"process": {"args": ["x"], "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}},
         "invalid rlimit type: RLIMIT_X"),
        ({"mounts": [{"destination": "/"}]}, 'cannot have the destination "/"'),
        ({"mounts": [{"destination": "/x", "type": "nofs"}]}, "no such device"),
        ({"mounts": [{"destination": "/x", "type": "tmpfs", "options": ["size=lots"]}]},
         "Bad value for 'size'"),
        ({"linux": {"namespaces": [{"type": "mount"}, {"type": "space"}]}},
         'namespace type "space" is not supported'),
        ({"linux": {"namespaces": []}}, "needs a new mount namespace"),
        ({"linux": {"namespaces": [{"type": "mount"}, {"type": "ipc", "path": "/none"}]}},
         "no such file or directory"),
    ],
)  # fmt: skip
def test_a_configuration_that_makes_no_sense(
    box: Box, change: dict[str, object], text: str
) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        box.create({**box.config("true"), **change})
    assert text in str(caught.value)
