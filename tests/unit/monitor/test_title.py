"""The title of a process, as `ps` reads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.path[:0] = {path!r}
from sampan.monitor.title import Title
Title().set({title!r})
print(repr(open("/proc/self/cmdline", "rb").read().rstrip(b"\\0")), repr(open("/proc/self/comm").read()))
"""


@pytest.mark.parametrize(
    "title", ["x", "sampan-monitor [0123456789ab]", "long " * 100, "with ünicode", "a\0b"]
)
@pytest.mark.parametrize("arguments", [[], ["an", "argument " * 20]])
def test_the_title_is_shown_whole(title: str, arguments: list[str]) -> None:
    """Longer than the arguments it goes on in the environment; shorter, nothing of them is left."""
    program = PROGRAM.format(path=sys.path, title=title)
    environment = {"FILLER": "x" * 1000}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        check=True,
        env=environment,
    )
    shown = title.encode().replace(b"\0", b" ")
    name = shown[:15].rstrip().decode(errors="replace") + "\n"
    assert done.stdout.decode().strip() == f"{shown!r} {name!r}"
