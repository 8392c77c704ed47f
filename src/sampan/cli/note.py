"""Notes beside what a command prints, in docker's form."""

from __future__ import annotations

import os

from sampan.cli.output import encode, write_all

_INFO = "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m"


def print_note(descriptor: int, *lines: str) -> None:
    """An empty line, then the note; with colours on a terminal."""
    if os.isatty(descriptor):
        shown, first = [f"\x1b[3m{line}\x1b[0m" for line in lines], _INFO
    else:
        shown, first = list(lines), " Info -> "
    text = f"\n{first}" + ("\n" + " " * 9).join(shown) + "\n"
    write_all(descriptor, encode(text))
