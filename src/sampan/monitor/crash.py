"""What is said of a child that raised: without the traceback module, which would open source files."""

from __future__ import annotations

import os


def describe_crash(error: BaseException) -> str:
    """Where it came from and what it says."""
    lines = []
    place = error.__traceback__
    while place is not None:
        code = place.tb_frame.f_code
        lines.append(f"  {code.co_filename}:{place.tb_lineno} in {code.co_name}\n")
        place = place.tb_next
    return "".join(lines) + f"{type(error).__name__}: {error}\n"


def report_crash(error: BaseException) -> None:
    try:
        os.write(2, f"sampan process {os.getpid()}:\n{describe_crash(error)}".encode())
    except OSError:
        pass  # nobody listens; the exit status tells
