"""What a host has before and after: mounts, cgroups, network links, processes, descriptors.

    before = Ledger.take()
    …
    before.require_same()        waits for the state to come back, and says what is left over

Things of other engines on the same host come and go by themselves and are left out.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, fields

_OTHERS_MOUNTS = re.compile(r"/(overlay2|containerd|containers|netns|docker|buildkit)(/|$)|/data$")
_OTHERS_LINKS = re.compile(r"^(docker\d+|podman\d+|cni.*|br-[0-9a-f]{12}|veth[0-9a-f]{7})$")
_DEADLINE = 5.0


def _mounts() -> frozenset[str]:
    found: set[str] = set()
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            words = left.split(" ")
            if not _OTHERS_MOUNTS.search(words[4]):
                found.add(f"{words[4]} ({right.split(' ')[0]}, {words[0]})")
    return frozenset(found)


def _cgroups(scope: str) -> frozenset[str]:
    found: set[str] = set()
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        found.update(f"{folder}/{name}" for name in names if scope in f"{folder}/{name}")
    return frozenset(found)


def _links() -> frozenset[str]:
    return frozenset(name for name in os.listdir("/sys/class/net") if not _OTHERS_LINKS.match(name))


def _processes() -> frozenset[str]:
    """Descendants of this process, zombies included."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    text = file.read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :]
            parents[int(entry)] = int(rest.split(" ")[1])
            names[int(entry)] = f"{entry} ({name})"
    found: set[str] = set()
    pending = [os.getpid()]
    while pending:
        above = pending.pop()
        children = [pid for pid, parent in parents.items() if parent == above]
        pending += children
        found.update(names[pid] for pid in children)
    return frozenset(found)


def _descriptors() -> frozenset[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} → {os.readlink(f'/proc/self/fd/{fd}')}")
        except FileNotFoundError:
            pass  # the one that listed the folder
    return frozenset(found)


@dataclass(frozen=True)
class Ledger:
    mounts: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    processes: frozenset[str]
    descriptors: frozenset[str]
    scope: str = "sampan"

    @classmethod
    def take(cls, scope: str = "sampan") -> Ledger:
        """`scope` is what the paths of the cgroups in question contain."""
        found = (_mounts(), _cgroups(scope), _links(), _processes(), _descriptors())
        return cls(*found, scope=scope)

    def left_over(self) -> list[str]:
        """What is there now and was not then, or the other way round."""
        now = Ledger.take(self.scope)
        differences = []
        for field in fields(self)[:-1]:
            before, after = getattr(self, field.name), getattr(now, field.name)
            differences += [f"{field.name}: new {item}" for item in sorted(after - before)]
            if (
                field.name != "processes"
            ):  # of an engine that was still ending when the ledger was opened
                differences += [f"{field.name}: gone {item}" for item in sorted(before - after)]
        return differences

    def require_same(self, deadline: float = _DEADLINE) -> None:
        """Raises AssertionError when something differs for longer than `deadline` seconds."""
        until = time.monotonic() + deadline
        while differences := self.left_over():
            if time.monotonic() > until:
                raise AssertionError("the host is not as before:\n  " + "\n  ".join(differences))
            time.sleep(0.01)


def tree_state(path: str) -> dict[str, tuple[object, ...]]:
    """All that can change in a tree: names, kinds, modes, owners, times, contents, attributes."""
    state: dict[str, tuple[object, ...]] = {}
    pending = [path]
    while pending:
        current = pending.pop()
        status = os.lstat(current)
        content: object = None
        if os.path.islink(current):
            content = os.readlink(current)
        elif os.path.isdir(current):
            names = sorted(os.listdir(current))
            content = tuple(names)
            pending += [f"{current}/{name}" for name in names]
        elif os.path.isfile(current):
            with open(current, "rb") as file:
                content = file.read()
        attributes = tuple(
            (name, os.getxattr(current, name, follow_symlinks=False))
            for name in os.listxattr(current, follow_symlinks=False)
        )
        state[current] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            content,
            attributes,
        )
    return state
