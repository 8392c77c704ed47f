"""What a parent writes about its child in the host's own procfs."""

from __future__ import annotations

import errno
import os

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.spec.typing import Any, Sequence


def _write(kernel: Kernel, pid: int, name: str, text: str) -> None:
    fd = kernel.openat2(c.AT_FDCWD, f"/proc/{pid}/{name}", os.O_WRONLY)
    try:
        kernel.write(fd, text.encode())
    finally:
        kernel.close(fd)


def write_oom_score(kernel: Kernel, pid: int, score: int | None) -> list[str]:
    """Returns a warning when the score may not be lowered so far."""
    if score is None:
        return []
    try:
        _write(kernel, pid, "oom_score_adj", str(score))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise
        return [f"The OOM score adjustment of {score} needs CAP_SYS_RESOURCE and was left out."]
    return []


def write_id_maps(kernel: Kernel, pid: int, linux: dict[str, Any]) -> None:
    """user_namespaces(7). Each map takes one write, and only one.

    Without rights of our own: by shadow's helpers where there is more than our own id to map (subuid(5)), else by
    ourselves, for which the right to change groups must be given up first.
    """
    for key, name, helper in (
        ("uidMappings", "uid_map", "newuidmap"),
        ("gidMappings", "gid_map", "newgidmap"),
    ):
        entries = linux.get(key) or []
        numbers = [
            (int(entry["containerID"]), int(entry["hostID"]), int(entry["size"]))
            for entry in entries
        ]
        text = "".join(f"{inside} {outside} {size}\n" for inside, outside, size in numbers)
        try:
            _write(kernel, pid, name, text)
        except PermissionError:
            if sum(size for _, _, size in numbers) > 1:
                _map_by_helper(helper, pid, numbers)
                continue
            if name != "gid_map":
                raise
            _write(kernel, pid, "setgroups", "deny")
            _write(kernel, pid, name, text)


def _map_by_helper(program: str, pid: int, numbers: Sequence[tuple[int, int, int]]) -> None:
    words = [program, str(pid), *(str(number) for entry in numbers for number in entry)]
    try:
        child = os.posix_spawnp(program, words, {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})
    except FileNotFoundError:
        text = f"{program} is needed to map more than one's own id, and it is not there"
        raise OSError(errno.EPERM, text) from None
    if os.waitpid(child, 0)[1]:
        text = f"{program} refused the mapping: is it in /etc/subuid and /etc/subgid?"
        raise OSError(errno.EPERM, text)
