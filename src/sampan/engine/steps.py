"""A plan of steps, done one after the other and undone in reverse when one fails.

A step may have been done half when it is undone, and undoing may find nothing to undo: both are normal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Generic, TypeVar

C = TypeVar("C")

log = logging.getLogger(__name__)


class Step(Generic[C]):
    def describe(self) -> str:
        """In a few words, for the log."""
        raise NotImplementedError

    async def execute(self, context: C) -> None:
        raise NotImplementedError

    async def undo(self, context: C) -> None:
        """Leave nothing of `execute` behind."""


async def run_steps(steps: Sequence[Step[C]], context: C, subject: str) -> None:
    """Raises what the failed step raised, after all steps so far were undone."""
    begun: list[Step[C]] = []
    try:
        for step in steps:
            begun.append(step)
            before = time.perf_counter()
            await step.execute(context)
            if log.isEnabledFor(logging.DEBUG):
                spent = (time.perf_counter() - before) * 1000
                log.debug("%s: %s: %.2f ms", subject, step.describe(), spent)
    except BaseException as error:
        log.debug("%s: %s: failed: %s", subject, begun[-1].describe(), error)
        await undo_steps(begun, context, subject, error)
        raise


async def undo_steps(
    steps: Sequence[Step[C]], context: C, subject: str, error: BaseException
) -> None:
    """A failure of the undoing never hides the first error: it becomes a note of it."""
    for step in reversed(steps):
        try:
            await step.undo(context)
        except Exception as second:
            log.exception("%s: could not undo: %s", subject, step.describe())
            error.add_note(f"and undoing {step.describe()!r} failed: {second}")
