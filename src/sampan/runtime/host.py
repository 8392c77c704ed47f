"""What a parent writes about its child in the host's own procfs."""

from __future__ import annotations

import errno
import os
from typing import Any

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel


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
    """user_namespaces(7). Each map takes one write, and only one."""
    for key, name in (("uidMappings", "uid_map"), ("gidMappings", "gid_map")):
        lines = [
            f"{int(entry['containerID'])} {int(entry['hostID'])} {int(entry['size'])}\n"
            for entry in linux.get(key) or []
        ]
        _write(kernel, pid, name, "".join(lines))
