"""Verifies that a plan that fails is undone in reverse, and that no clean-up hides the first error."""

from __future__ import annotations

import pytest

from sampan.network.plan import run_plan


class Step:
    def __init__(self, name: str, *, fails: bool = False, undo_fails: bool = False) -> None:
        self.name, self.fails, self.undo_fails = name, fails, undo_fails

    def describe(self) -> str:
        return f"step {self.name}"

    def execute(self, context: list[str]) -> None:
        if self.fails:
            raise OSError(1, f"{self.name} failed")
        context.append(self.name)

    def undo(self, context: list[str]) -> None:
        if self.undo_fails:
            raise OSError(2, f"undo of {self.name} failed")
        context.remove(self.name)


def test_all_steps() -> None:
    """In order."""
    log: list[str] = []
    run_plan([Step("a"), Step("b")], log)
    assert log == ["a", "b"]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_undone_at_every_step(failing: int) -> None:
    """Nothing is left; the error says at which step."""
    log: list[str] = []
    steps = [Step(name, fails=number == failing) for number, name in enumerate("abc")]
    with pytest.raises(OSError) as caught:
        run_plan(steps, log)
    assert log == []
    assert caught.value.__notes__ == [f"while: step {'abc'[failing]}"]


def test_a_clean_up_that_fails() -> None:
    """The others are still done; the first error is raised with a note."""
    log: list[str] = []
    with pytest.raises(OSError, match="c failed") as caught:
        run_plan([Step("a"), Step("b", undo_fails=True), Step("c", fails=True)], log)
    assert log == ["b"]
    assert "undo of 'step b' failed" in caught.value.__notes__[-1]
