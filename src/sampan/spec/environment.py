"""The environment of a container's first process."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.errors import InvalidParameter
from sampan.spec.defaults import PATH


def build_environment(
    overrides: Iterable[str], *, hostname: str, home: str, terminal: bool
) -> list[str]:
    """PATH, HOSTNAME, TERM with a terminal; then `overrides` (image's, then user's); HOME at the end.

    An override `NAME=VALUE` takes the place of an earlier one, a bare `NAME` takes it away.
    HOME is the user's, unless it is set to something.
    """
    values = {"PATH": PATH, "HOSTNAME": hostname}
    if terminal:
        values["TERM"] = "xterm"
    for entry in overrides:
        name, equals, value = entry.partition("=")
        if equals:
            values[name] = value
        else:
            values.pop(name, None)
    if not values.get("HOME"):
        values.pop("HOME", None)
        values["HOME"] = home
    return [f"{name}={value}" for name, value in values.items()]


def check_environment(entries: Iterable[str]) -> None:
    """Every entry has a name, and none can break out of the C string that it becomes."""
    for entry in entries:
        if not entry.partition("=")[0] or "\0" in entry:
            raise InvalidParameter(f"invalid environment variable: {entry}")
