"""The tests of `tests/kernel` that look at cgroups and the runtime, once more in the machine: a boot, a result a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.machine import vm
from tests.machine.image import PROJECT, image

FOLDERS = ("tests/kernel/linux", "tests/kernel/runtime")
FILES = [
    str(path.relative_to(PROJECT))
    for folder in FOLDERS
    for path in sorted((PROJECT / folder).glob("test_*.py"))
    if path.name != "test_fuzz.py"  # it needs hypothesis, which the machine does not have
]
DEADLINE = 2400.0
SCRIPT = vm.pytest_script(*FILES)
_RESULT = re.compile(r"^(tests/\S+?\.py)::(.+) (PASSED|FAILED|ERROR|SKIPPED)", re.MULTILINE)

pytestmark = pytest.mark.timeout(DEADLINE + 900)


@pytest.fixture(scope="module")
def outcome(machine_possible: None) -> vm.Outcome:
    return vm.run(image(), SCRIPT, deadline=DEADLINE)


@pytest.mark.parametrize("file", FILES)
def test_file_in_the_machine(file: str, outcome: vm.Outcome) -> None:
    """Its tests ran there, and none failed."""
    results = [(name, word) for at, name, word in _RESULT.findall(outcome.output) if at == file]
    bad = [name for name, word in results if word in ("FAILED", "ERROR")]
    assert not bad, f"{bad}\n{outcome}"
    assert results, f"the machine did not get that far: {outcome}"


def test_all_of_them_ran(outcome: vm.Outcome) -> None:
    """pytest came to its end; files that were added are looked at too."""
    assert outcome.code == 0, str(outcome)
    assert {Path(file).name for file, _, _ in _RESULT.findall(outcome.output)} == {
        Path(file).name for file in FILES
    }
