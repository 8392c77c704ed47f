"""Device rules of OCI `linux.resources.devices`: who may open or make which device node.

The rules are an ordered list; the last one that speaks about a device decides. v1 gets them one by
one through `devices.allow` and `devices.deny`, v2 as one program (`devices_bpf.py`).
"""

from __future__ import annotations

import errno
import os

from sampan.linux.cgroup.files import read_text
from sampan.spec.typing import Any, Iterable, NamedTuple


class Rule(NamedTuple):
    allow: bool
    type: str
    """`b`, `c`, or `a` for both."""

    major: int
    """-1: every one; so for `minor`."""

    minor: int
    access: str
    """A subset of `rwm`."""

    @property
    def everything(self) -> bool:
        return self.type == "a" and self.major == self.minor == -1 and self.access == "rwm"

    def __str__(self) -> str:
        if self.type == "a":
            return "a"
        major = "*" if self.major < 0 else str(self.major)
        minor = "*" if self.minor < 0 else str(self.minor)
        return f"{self.type} {major}:{minor} {self.access}"


def parse_rules(devices: Iterable[dict[str, Any]]) -> list[Rule]:
    """Raises `ValueError` for a type, number or access that does not exist."""
    rules: list[Rule] = []
    for device in devices:
        kind = device.get("type") or "a"
        major, minor = device.get("major"), device.get("minor")
        access = device.get("access") or ("rwm" if kind == "a" else "")
        rule = Rule(
            bool(device.get("allow")),
            kind,
            -1 if major is None else major,
            -1 if minor is None else minor,
            "".join(letter for letter in "rwm" if letter in access),
        )
        if kind not in ("a", "b", "c", "u") or set(access) - set("rwm"):
            raise ValueError(f"invalid device cgroup rule: {device}")
        if not (-1 <= rule.major < 1 << 32 and -1 <= rule.minor < 1 << 32):
            raise ValueError(f"invalid device number in cgroup rule: {device}")
        if kind == "u":
            rule = rule._replace(type="c")
        # A rule for "a" with numbers: v1 would read it as everything.
        if rule.type == "a" and not rule.everything:
            rules += [rule._replace(type="b"), rule._replace(type="c")]
        else:
            rules.append(rule)
    return rules


def effective(rules: list[Rule]) -> list[Rule]:
    """Without what a later rule for everything makes void."""
    for index in range(len(rules) - 1, -1, -1):
        if rules[index].everything:
            return rules[index:]
    return rules


def apply_v1(folder: str, rules: list[Rule]) -> list[str]:
    """Write the rules into the v1 cgroup at `folder`; returns warnings.

    `a` is refused with EINVAL once the cgroup has children; with the same list in force already
    there is nothing to write.
    """
    if not rules:
        return []
    rules = effective(rules)
    listed = read_text(folder + "/devices.list").split("\n")
    open_to_all = listed[0].startswith("a ")
    if rules[0].everything and rules[0].allow:
        if open_to_all:
            rules = rules[1:]
        elif len(rules) == 1:
            return _allow_all(folder)
    elif rules[0].everything and not open_to_all and _same(listed, rules[1:]):
        return []
    _write(folder, rules)
    return []


def _same(listed: list[str], rules: list[Rule]) -> bool:
    return all(rule.allow for rule in rules) and {line for line in listed if line} == {
        str(rule) for rule in rules
    }


def _allow_all(folder: str) -> list[str]:
    try:
        _write(folder, [Rule(True, "a", -1, -1, "rwm")])
    except PermissionError:
        # The parent is restricted: sampan runs in a container itself.
        return ["Not all devices can be allowed: the parent device cgroup is restricted."]
    return []


def _write(folder: str, rules: list[Rule]) -> None:
    files: dict[str, int] = {}
    try:
        for rule in rules:
            path = folder + ("/devices.allow" if rule.allow else "/devices.deny")
            if path not in files:
                files[path] = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(files[path], str(rule).encode())
            except OSError as error:
                if error.errno == errno.EINVAL and rule.everything:
                    raise OSError(errno.EBUSY, "the device cgroup has children", path) from None
                raise OSError(error.errno, f"{error.strerror} (rule {rule})", path) from None
    finally:
        for fd in files.values():
            os.close(fd)
