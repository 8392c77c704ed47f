"""The user's terminal: raw mode and back, its size, and the keys that detach."""

from __future__ import annotations

import os

from sampan.cli.output import STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDIN = 0
DEFAULT_DETACH_KEYS = b"\x10\x11"  # ctrl-p ctrl-q


class RawMode:
    """A terminal in raw mode while the block runs; nothing happens to what is no terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: list[Any] | None = None

    def __enter__(self) -> RawMode:
        if os.isatty(self._descriptor):
            import termios

            self._before = termios.tcgetattr(self._descriptor)
            termios.tcsetattr(self._descriptor, termios.TCSANOW, _raw(self._before))
        return self

    def __exit__(self, *details: object) -> None:
        self.restore()

    def restore(self) -> None:
        if self._before is not None:
            import termios

            before, self._before = self._before, None
            termios.tcsetattr(self._descriptor, termios.TCSANOW, before)


def size() -> tuple[int, int]:
    """Rows and columns of the terminal that is standard output; zeros when it is none."""
    try:
        columns, rows = os.get_terminal_size(STDOUT)
    except OSError:
        return 0, 0
    return rows, columns


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q`, `a`, `ctrl-[`. Raises ValueError."""
    return bytes(_key(name) for name in text.split(","))


class DetachDetector:
    """Input goes through `feed`; the sequence of keys never comes out, a part of it only when it was none.

    As in docker, a key that breaks a sequence does not begin another one.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to send on, and whether the sequence is complete."""
        if not self._keys:
            return data, False
        out = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(out), True
                continue
            out += self._keys[: self._matched]
            out.append(byte)
            self._matched = 0
        return bytes(out), False


def _raw(attributes: list[Any]) -> list[Any]:
    """cfmakeraw(3)"""
    import termios as t

    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = attributes
    iflag &= ~(t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON)
    oflag &= ~t.OPOST
    lflag &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    cflag = (cflag & ~(t.CSIZE | t.PARENB)) | t.CS8
    cc = list(cc)
    cc[t.VMIN], cc[t.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, cc]


def _key(name: str) -> int:
    if len(name) == 1:
        return ord(name) & 0xFF
    letter = name.removeprefix("ctrl-").lower()
    if (
        name.startswith("ctrl-")
        and len(letter) == 1
        and letter in "@abcdefghijklmnopqrstuvwxyz[\\]^_"
    ):
        return ord(letter) & 0x1F
    raise ValueError(f"Unknown character: '{name}'")
