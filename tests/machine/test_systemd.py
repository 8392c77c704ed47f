"""`--systemd-cgroup` in a machine whose first process is systemd, with cgroup v2: a boot, a result a check."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.machine import vm
from tests.machine.image import SYSTEMD, image

FILE = Path(__file__).with_name("scopes.py")
CHECKS = [
    node.name
    for node in ast.parse(FILE.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]
DEADLINE = 600.0
SCRIPT = vm.pytest_script(f"tests/machine/{FILE.name}")
_RESULT = re.compile(r"::(\w+) (PASSED|FAILED|ERROR|SKIPPED)")

pytestmark = pytest.mark.timeout(DEADLINE + 900)


@pytest.fixture(scope="module")
def outcome(machine_possible: None) -> vm.Outcome:
    made = image(*SYSTEMD, name="machine-systemd")
    return vm.run(made, SCRIPT, deadline=DEADLINE, words="machine.systemd")


@pytest.mark.parametrize("check", CHECKS)
def test_in_the_machine(check: str, outcome: vm.Outcome) -> None:
    """As its check in the machine says."""
    results = [word for name, word in _RESULT.findall(outcome.output) if name == check]
    assert results == ["PASSED"], outcome


def test_all_of_them_ran(outcome: vm.Outcome) -> None:
    """pytest came to its end."""
    assert outcome.code == 0, outcome
