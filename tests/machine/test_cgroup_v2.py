"""Containers on a host with nothing but cgroup v2: one boot, every check of `v2/` a result of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.machine import vm
from tests.machine.image import image
from tests.machine.v2.suite import CHECKS

DEADLINE = 600.0
BUILDING = 900.0
SCRIPT = """\
mkdir -p /usr/local/bin
printf '#!/bin/sh\\nexec python3 -m sampan.cli "$@"\\n' >/usr/local/bin/sampan
chmod +x /usr/local/bin/sampan
exec python3 -m tests.machine.v2
"""

# The first test pays for the image and for all checks.
pytestmark = pytest.mark.timeout(BUILDING + DEADLINE)


class Record:
    """What the machine said, by check."""

    def __init__(self, outcome: vm.Outcome) -> None:
        self.outcome = outcome
        self.checks: dict[str, dict[str, Any]] = {}
        for line in outcome.output.splitlines():
            if line.startswith('{"check":'):
                result = json.loads(line)
                self.checks[result["check"]] = result


@pytest.fixture(scope="module")
def record(machine_possible: None) -> Record:
    return Record(vm.run(image(), SCRIPT, deadline=DEADLINE))


@pytest.mark.parametrize("name", CHECKS)
def test_in_the_machine(name: str, record: Record) -> None:
    """As its check in the machine says."""
    assert name in record.checks, f"the machine did not get that far: {record.outcome}"
    result = record.checks[name]
    assert result["passed"], result["detail"]


def test_machine_ends_by_itself(record: Record) -> None:
    """All checks ran, the daemon went, and the kernel had nothing to complain about."""
    assert record.outcome.code == 0, str(record.outcome)
    assert set(record.checks) == set(CHECKS)
    for word in ("BUG:", "Oops", "WARNING: CPU", "blocked for more than"):
        assert word not in record.outcome.console, record.outcome.console[-4000:]
