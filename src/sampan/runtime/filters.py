"""The seccomp filter of a process: the caller's bytes, or compiled from the configuration."""

from __future__ import annotations

import platform
from typing import Any

from sampan.linux import constants as c
from sampan.linux.seccomp import compile_profile

FLAGS = {
    "SECCOMP_FILTER_FLAG_LOG": c.SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": c.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    # One thread has the filter, and it is the only one there is.
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
}


def seccomp_filter(config: dict[str, Any], given: bytes | None) -> tuple[bytes | None, int]:
    """`(program, flags)` for seccomp(2); no program when the configuration has no profile."""
    profile = (config.get("linux") or {}).get("seccomp")
    if not profile:
        return given, 0
    flags = 0
    for name in profile.get("flags") or []:
        if name not in FLAGS:
            raise ValueError(f"seccomp flag {name!r} is not supported")
        flags |= FLAGS[name]
    if given is None:
        given = compile_profile(profile, arch=platform.machine())
    return given, flags
