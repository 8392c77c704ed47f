"""Running a program of the host, in a child of the spawner: its status, its output, its errors. Bounded and timed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import NamedTuple

from sampan.engine.services import Services
from sampan.errors import SampanError
from sampan.store import jobs

DEADLINE = 10.0  # seconds
OUTPUT_LIMIT = 16 << 20


class Finished(NamedTuple):
    status: int  # negative: the signal that ended it
    output: bytes
    errors: bytes


async def run_program(services: Services, path: str, arguments: Sequence[str]) -> Finished:
    """Raises OSError when it cannot be run, SampanError when it does not end."""
    output = os.memfd_create("output", os.MFD_CLOEXEC)
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    try:
        async with asyncio.timeout(DEADLINE):
            answer = await jobs.run(
                services.spawn,
                "program",
                {"path": path, "arguments": list(arguments)},
                [output, errors],
            )
        return Finished(int(answer["status"]), _content(output), _content(errors))
    except TimeoutError:
        raise SampanError(f"{path} did not end") from None
    finally:
        os.close(output)
        os.close(errors)


def _content(fd: int) -> bytes:
    return os.pread(fd, min(os.fstat(fd).st_size, OUTPUT_LIMIT), 0)
