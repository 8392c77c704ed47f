"""`userns-remap`: whose ids containers' users have on the host, and which containers that concerns.

On the disk everything belongs to the ids that containers see; what is mounted into one is id-mapped
(`runtime/idmap.py`). So nothing is ever copied for it, a daemon may be started with it or without, and
`--userns=host` sees the same files.
Words and files as dockerd's: `default` is the user `dockremap`, made when it is missing, with 65536 ids.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from sampan.engine.config import ConfigError
from sampan.engine.records import ContainerRecord
from sampan.errors import InvalidParameter
from sampan.linux.atomic import write_file
from sampan.spec.container import HostConfig

DEFAULT_USER = "dockremap"
_SIZE = 65536
_FIRST = 100_000  # of what is given to a new user, as shadow's useradd does (login.defs)
_SYSTEM_IDS = range(999, 100, -1)

Range = tuple[int, int, int]  # in the container, on the host, how many


@dataclass(frozen=True, slots=True)
class Remap:
    uids: tuple[Range, ...]
    gids: tuple[Range, ...]

    @property
    def root(self) -> tuple[int, int]:
        """Uid and gid that the containers' root has on the host."""
        return self.uids[0][1], self.gids[0][1]


def concerns(remap: Remap | None, host: HostConfig) -> bool:
    """Whether a container gets a user namespace of its own."""
    return remap is not None and host.userns_mode != "host"


def applies(remap: Remap | None, record: ContainerRecord) -> bool:
    return concerns(remap, record.host_config)


def check(remap: Remap | None, host: HostConfig, *, own_runtime: bool) -> None:
    """What the host's root only can have; at each start too, for the daemon may not have had `userns-remap` when
    the container was created. Raises InvalidParameter, in dockerd's words."""
    if not concerns(remap, host):
        return
    if host.privileged:
        raise InvalidParameter(
            "privileged mode is incompatible with user namespaces.  You must run the container in the "
            "host namespace when running privileged mode"
        )
    if host.network_mode == "host":
        raise InvalidParameter(
            "cannot share the host's network namespace when user namespaces are enabled"
        )
    if host.pid_mode == "host":
        raise InvalidParameter(
            "cannot share the host PID namespace when user namespaces are enabled"
        )
    if not own_runtime:
        raise InvalidParameter(
            f"runtime {host.runtime} cannot be used when user namespaces are enabled, but with userns=host"
        )


def find(wanted: str, etc: str = "/etc") -> Remap | None:
    """`default`, `USER[:GROUP]` by name or id; "" for none. Blocking. Raises ConfigError, OSError."""
    if not wanted:
        return None
    files = _Files(etc)
    user, colon, group = wanted.partition(":")
    if user == "default":
        user = group = DEFAULT_USER
        files.make_user(DEFAULT_USER)
    elif not colon:
        group = user
    user_name = files.name("passwd", user, "user")
    group_name = files.name("group", group, "group")
    if user_name == "root":
        raise ConfigError("invalid userns-remap: root cannot be remapped to itself")
    return Remap(
        files.ranges("subuid", user_name, "uid"), files.ranges("subgid", group_name, "gid")
    )


class _Files:
    def __init__(self, etc: str) -> None:
        self._etc = etc

    def _rows(self, name: str) -> list[list[str]]:
        try:
            with open(
                os.path.join(self._etc, name), encoding="utf-8", errors="surrogateescape"
            ) as f:
                return [line.strip().split(":") for line in f if line.count(":") >= 2]
        except FileNotFoundError:
            return []

    def name(self, file: str, wanted: str, kind: str) -> str:
        for row in self._rows(file):
            if row[0] == wanted or (wanted.isdigit() and row[2] == wanted):
                return row[0]
        if wanted.isdigit():
            raise ConfigError(f"{kind.capitalize()} ID {wanted} has no entry in {self._etc}/{file}")
        raise ConfigError(f"Error during {kind}name lookup for {wanted!r}: no such {kind}")

    def ranges(self, file: str, name: str, kind: str) -> tuple[Range, ...]:
        """One after the other from 0 on, as they are listed."""
        found: list[Range] = []
        inside = 0
        for row in self._rows(file):
            if row[0] != name or not (row[1].isdigit() and row[2].isdigit()):
                continue
            start, size = int(row[1]), int(row[2])
            if not start or not size or start + size > 1 << 32:
                raise ConfigError(f"invalid range for {name} in {self._etc}/{file}: {start}:{size}")
            found.append((inside, start, size))
            inside += size
        if not found:
            raise ConfigError(f"no sub{kind} ranges found for user {name!r}")
        return tuple(found)

    def make_user(self, name: str) -> None:
        """What is missing of a system user, its group and its ids."""
        taken = {
            int(row[2])
            for file in ("passwd", "group")
            for row in self._rows(file)
            if row[2].isdigit()
        }
        own = next(number for number in _SYSTEM_IDS if number not in taken)
        if not any(row[0] == name for row in self._rows("group")):
            self._append("group", f"{name}:x:{own}:")
        gid = next(row[2] for row in self._rows("group") if row[0] == name)
        if not any(row[0] == name for row in self._rows("passwd")):
            self._append("passwd", f"{name}:x:{own}:{gid}::/home/{name}:/bin/false")
        for file in ("subuid", "subgid"):
            rows = self._rows(file)
            if not any(row[0] == name for row in rows):
                self._append(file, f"{name}:{_free(rows)}:{_SIZE}")

    def _append(self, file: str, line: str) -> None:
        path = os.path.join(self._etc, file)
        try:
            with open(path, "rb") as before:
                content, mode = before.read(), os.fstat(before.fileno()).st_mode & 0o777
        except FileNotFoundError:
            content, mode = b"", 0o644
        if content and not content.endswith(b"\n"):
            content += b"\n"
        write_file(path, content + line.encode() + b"\n", mode)


def _free(rows: Sequence[Sequence[str]]) -> int:
    """The first id above all that are given away."""
    ends = [int(row[1]) + int(row[2]) for row in rows if row[1].isdigit() and row[2].isdigit()]
    return max([_FIRST, *ends])
