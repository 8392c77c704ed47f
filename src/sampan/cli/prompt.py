"""Questions to the user at a terminal."""

from __future__ import annotations

import os

from sampan.cli import output
from sampan.cli.terminal import STDIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any


def ask(question: str, *, secret: bool = False) -> str:
    """One line from standard input, without its end; what is typed is not shown when it is `secret`."""
    if not secret:
        output.out(question)
        return _read_line()
    with _Silent():  # before the question: whoever types at once must not be seen either
        output.out(question)
        line = _read_line()
        output.out("\n")
    return line


def _read_line() -> str:
    """Byte by byte, so that nothing behind the line is taken away from whoever reads next."""
    data = b""
    while (byte := os.read(STDIN, 1)) not in (b"", b"\n"):
        data += byte
    return data.rstrip(b"\r").decode("utf-8", "surrogateescape")


class _Silent:
    """The terminal does not echo while the block runs."""

    def __enter__(self) -> None:
        import termios

        self._before: list[Any] = termios.tcgetattr(STDIN)
        silent = [*self._before]
        silent[3] &= ~termios.ECHO
        termios.tcsetattr(STDIN, termios.TCSAFLUSH, silent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import termios

        termios.tcsetattr(STDIN, termios.TCSANOW, self._before)
