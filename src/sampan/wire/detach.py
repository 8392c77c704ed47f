"""Detach keys: the keys that leave an attached terminal without ending the container.

Pure and byte by byte; used by whoever reads the keyboard's bytes.
"""

from __future__ import annotations

DEFAULT = "ctrl-p,ctrl-q"
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse(text: str) -> bytes:
    """`"ctrl-p,ctrl-q"`, `"a"`, `"ctrl-],DEL"` → the bytes of the sequence.

    Raises ValueError with Docker's text. The empty text is an empty sequence: nothing detaches.
    """
    return bytes(_code(key) for key in text.split(",")) if text else b""


def _code(key: str) -> int:
    if len(key) == 1 and ord(key) < 256:
        return ord(key)
    if key.startswith("ctrl-") and len(key) == 6 and key[5] in _CONTROL:
        return _CONTROL.index(key[5])
    if key == "DEL":
        return 127
    raise ValueError(f"Unknown character: '{key}'")


class Matcher:
    """Finds the sequence in a stream. The start of one is held back until it is clear that it is none.

    Docker looks at single key presses only and forgets a press that breaks a sequence; here the
    sequence is found wherever it stands (`ctrl-p ctrl-p ctrl-q` detaches too).
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """`(what goes on to the program, whether the sequence was completed)`.

        What follows a completed sequence is dropped.
        """
        if not self._keys or (not self._held and self._keys[0] not in data):
            return data, False
        passed = bytearray()
        for byte in data:
            self._held += bytes((byte,))
            if self._held == self._keys:
                self._held = b""
                return bytes(passed), True
            while not self._keys.startswith(self._held):
                passed.append(self._held[0])
                self._held = self._held[1:]
        return bytes(passed), False

    def finish(self) -> bytes:
        """What was held back, at the end of the stream."""
        held, self._held = self._held, b""
        return held
