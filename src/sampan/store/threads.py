"""Blocking calls off the loop, without the trap: a cancelled caller still waits for its thread.

`asyncio.to_thread` returns at once when it is cancelled and leaves the thread running, which would then
write into descriptors that the caller has closed and somebody else has got.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The result of `function`, run in a thread; it has ended when this returns or raises."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue  # already on the way out
        if not task.cancelled():
            task.exception()  # taken, so that nobody is warned that it was not
        raise
