"""Files of `NAME=value` lines: `--env-file`, `--label-file`."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_BLANK = " \t"
_SPACE = " \t\n\v\f\r\x85\xa0"


def read_pairs(paths: list[str], environment: Mapping[str, str] | None) -> list[str]:
    """The lines that set something. A bare name takes its value from `environment`, or is dropped.

    Raises ValueError with docker's text.
    """
    return [pair for path in paths for pair in _read_file(path, environment)]


def read_environment(paths: list[str], given: list[str]) -> list[str]:
    return read_pairs(paths, os.environ) + given


def _read_file(path: str, environment: Mapping[str, str] | None) -> list[str]:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except IsADirectoryError as error:
        raise ValueError(f"invalid env file ({path}): read {path}: {go_reason(error)}") from None
    except OSError as error:
        raise ValueError(f"open {path}: {go_reason(error)}") from None
    pairs = []
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            shown = " ".join(str(byte) for byte in line)
            raise ValueError(
                f"invalid env file ({path}): invalid utf8 bytes at line {number}: [{shown}]"
            ) from None
        pair = _read_line(text.lstrip(_BLANK), path, environment)
        if pair is not None:
            pairs.append(pair)
    return pairs


def _read_line(line: str, path: str, environment: Mapping[str, str] | None) -> str | None:
    if not line or line.startswith("#"):
        return None
    name, equals, _ = line.partition("=")
    if not name.strip():
        raise ValueError(f"invalid env file ({path}): no variable name on line '{line}'")
    if any(c in _SPACE for c in name):
        raise ValueError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
    if equals:
        return line
    value = None if environment is None else environment.get(name)
    return None if value is None else f"{name}={value}"


def go_reason(error: OSError) -> str:
    """An errno's text as Go prints it: without the capital."""
    text = os.strerror(error.errno or 0)
    return text[:1].lower() + text[1:]
