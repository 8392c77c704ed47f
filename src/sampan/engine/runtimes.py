"""Which OCI runtime makes a container: our own, or another by its command line. Pure but for the search in PATH."""

from __future__ import annotations

import shutil
from typing import Any

from sampan.engine.config import OWN_RUNTIME, OWN_RUNTIME_NAMES, DaemonConfig
from sampan.errors import InvalidParameter


def check(config: DaemonConfig, name: str) -> None:
    """`name` as the user gave it, "" for the default. Raises InvalidParameter."""
    if name and name not in config.runtimes and name not in OWN_RUNTIME_NAMES:
        raise InvalidParameter(f"unknown or invalid runtime name: {name}")


def command(config: DaemonConfig, name: str) -> tuple[str, ...]:
    """Program and first arguments; empty for our own. Raises InvalidParameter when there is none any more."""
    check(config, name)
    runtime = config.runtimes.get(name)
    if runtime is None:
        return ()
    program = shutil.which(runtime.path)
    if program is None:
        raise InvalidParameter(f'exec: "{runtime.path}": executable file not found in $PATH')
    return (program, *runtime.args)


def described(config: DaemonConfig) -> dict[str, Any]:
    """For `/info`."""
    own: dict[str, Any] = {OWN_RUNTIME: {"path": "sampan-runtime"}}
    for name, runtime in config.runtimes.items():
        arguments = {"runtimeArgs": list(runtime.args)} if runtime.args else {}
        own[name] = {"path": runtime.path, **arguments}
    return own
