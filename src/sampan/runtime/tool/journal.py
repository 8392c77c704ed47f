"""Where errors and warnings go: `--log FILE` in text or JSON (logrus' forms, which callers parse), and stderr."""

from __future__ import annotations

import os
import sys
import time

from sampan.spec import quickjson

_SHORT = {"error": "ERRO", "warning": "WARN", "info": "INFO", "debug": "DEBU"}


class Journal:
    def __init__(self, path: str, form: str, *, debug: bool = False) -> None:
        self._path = "" if path in ("", "/dev/stderr") else path
        self._form = form
        self._debug = debug
        if self._path:
            # Told before anything else happens.
            os.close(os.open(self._path, _FLAGS, 0o644))

    def error(self, text: str) -> None:
        self._write("error", text)
        if self._path:
            print(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        self._write("warning", text)

    def debug(self, text: str) -> None:
        if self._debug:
            self._write("debug", text)

    def _write(self, level: str, text: str) -> None:
        line = (format_entry(level, text, self._form, terminal=self._on_terminal()) + "\n").encode(
            "utf-8", "replace"
        )
        if not self._path:
            os.write(2, line)
            return
        fd = os.open(self._path, _FLAGS, 0o644)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)

    def _on_terminal(self) -> bool:
        return not self._path and os.isatty(2)


_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def format_entry(level: str, text: str, form: str, *, terminal: bool = False) -> str:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if form == "json":
        return quickjson.dumps({"level": level, "msg": text, "time": now}, separators=(",", ":"))
    if terminal:
        return f"{_SHORT[level]}[0000] {text}"
    # Go's %q, and only where it is needed.
    plain = text and all(c.isalnum() or c in "-._/@^+" for c in text)
    return f'time="{now}" level={level} msg={text if plain else quickjson.dumps(text)}'
