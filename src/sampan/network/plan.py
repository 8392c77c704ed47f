"""Plan, then do: steps that can be described, done in order, and undone in reverse."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol, TypeVar

log = logging.getLogger(__name__)

ContextT = TypeVar("ContextT", contravariant=True)


class Step(Protocol[ContextT]):
    def describe(self) -> str: ...

    def execute(self, context: ContextT) -> None:
        """All or nothing: a step that raises has left nothing to undo."""
        ...

    def undo(self, context: ContextT) -> None:
        """Takes back what `execute` did; what has gone meanwhile is no error."""
        ...


def run_plan(steps: Sequence[Step[ContextT]], context: ContextT) -> None:
    """Do all steps. When one fails those before it are undone and its error is raised.

    A clean-up that fails becomes a note of that error and does not stop the others.
    """
    done: list[Step[ContextT]] = []
    try:
        for step in steps:
            begin = time.perf_counter()
            step.execute(context)
            done.append(step)
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%s: %.2f ms", step.describe(), (time.perf_counter() - begin) * 1e3)
    except BaseException as error:
        error.add_note(f"while: {step.describe()}")
        for finished in reversed(done):
            try:
                finished.undo(context)
            except Exception as failure:
                error.add_note(f"undo of {finished.describe()!r} failed: {failure}")
        raise
