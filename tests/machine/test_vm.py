"""The machine itself: what its script says and how it ends comes back, and its time is bounded."""

from __future__ import annotations

import pytest

from tests.machine import vm
from tests.machine.image import image

pytestmark = pytest.mark.timeout(1000)  # the first boot builds the image


@pytest.fixture(autouse=True)
def _possible(machine_possible: None) -> None:
    """All of them start it."""


@pytest.mark.parametrize(
    ("serial", "code", "output"),
    [
        ("@begin\nhello\n\n@exit 3\n", 3, "hello\n\n"),
        ("noise@begin\n@exit 0\n", 0, "\n"),
        ("@begin\n@exit 1\n said it\n\n@exit 0\n", 0, "@exit 1\n said it\n\n"),
        ("@begin\nhalf a", None, "half a"),
        ("@begin\nx\n@exit 1", 1, "x\n"),
        ("@begin\nx\n@exit ", None, "x\n@exit "),
        ("", None, ""),
    ],
)
def test_parse(serial: str, code: int | None, output: str) -> None:
    """Exit code and output, whatever the script prints and wherever it was cut off."""
    assert vm.parse(serial) == (code, output)


def test_script() -> None:
    """Both streams, every byte, the exit code; the disk is as built, and can be written."""
    outcome = vm.run(image(), "echo out; echo err >&2; touch /new; cat /new; exit 7\n", deadline=90)
    assert (outcome.code, outcome.output) == (7, "out\nerr\n"), outcome.console


def test_deadline() -> None:
    """A script that does not end is killed with its machine; what it said so far is there."""
    outcome = vm.run(image(), "echo begun; sleep 1000\n", deadline=12)
    assert (outcome.code, outcome.output) == (None, "begun\n"), outcome.console
    assert outcome.qemu == -9
    assert outcome.seconds < 60
