"""The compiled seccomp filter of a container: made once in the daemon, so that no monitor has to do it again."""

from __future__ import annotations

import json
import os
from typing import Any

from sampan.engine.actor import Actor
from sampan.engine.services import Services
from sampan.errors import InvalidParameter
from sampan.linux.seccomp import compile_profile


def compile_filter(config: dict[str, Any], machine: str) -> bytes | None:
    """For OCI's `config.json`; None when it has no profile. Cached by content. Raises InvalidParameter."""
    profile = config["linux"].get("seccomp")
    if not profile:
        return None
    try:
        return compile_profile(profile, arch=machine)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidParameter(f"invalid seccomp profile: {error}") from None


def filter_of(services: Services, actor: Actor) -> bytes | None:
    """Of a container that runs; of one that an earlier daemon started, from its config.json. Blocking."""
    if not actor.filter_known:
        path = os.path.join(services.paths.run(actor.record.id), "config.json")
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            config = json.load(file)
        actor.filter = compile_filter(config, services.host.architecture)
        actor.filter_known = True
    return actor.filter
