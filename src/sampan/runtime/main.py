"""The command `sampan-runtime`: `run` makes a container from a bundle and stays until it has ended.

    sampan-runtime --version
    sampan-runtime run [-b BUNDLE] [--pid-file FILE] CONTAINER-ID

The exit status is the command's own; 1, with the reason on stderr, when it could not be started.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from types import FrameType
from typing import Any

from sampan.linux import atomic
from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.runtime.console import own_size, relay
from sampan.runtime.create import Created, create
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.request import Request, wait_exit
from sampan.spec.version import VERSION

SPEC_VERSION = "1.2.0"
_ID = re.compile(r"[A-Za-z0-9_+.-]+")
_FORWARDED = (
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT),
)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return run(LinuxKernel(), options.bundle, options.id, options.pid_file)
    except (RuntimeFailure, OSError, ValueError) as error:
        print(f"sampan-runtime: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sampan-runtime", description="An OCI runtime.")
    version = f"sampan-runtime version {VERSION}\nspec: {SPEC_VERSION}"
    parser.add_argument("-v", "--version", action="version", version=version)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("run", help="create and run a container")
    command.add_argument("-b", "--bundle", default=".", help="folder with config.json")
    command.add_argument("--pid-file", help="file to write the process id to")
    command.add_argument("id", metavar="CONTAINER-ID")
    return parser


def load_bundle(folder: str, container_id: str) -> dict[str, Any]:
    """The configuration, with its relative paths made absolute and a cgroup if it names none."""
    if not _ID.fullmatch(container_id) or container_id in (".", ".."):
        raise ValueError(f"invalid container id {container_id!r}")
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    if not isinstance(config, dict):
        raise ValueError("config.json is not an object")
    base = os.path.abspath(folder)
    root = config.setdefault("root", {})
    root["path"] = os.path.join(base, root.get("path") or "rootfs")
    for mount in config.get("mounts") or []:
        if mount.get("type") == "bind" or {"bind", "rbind"} & set(mount.get("options") or ()):
            mount["source"] = os.path.join(base, mount["source"])
    config.setdefault("linux", {}).setdefault("cgroupsPath", f"/sampan-runtime/{container_id}")
    return config


def run(kernel: Kernel, bundle: str, container_id: str, pid_file: str | None) -> int:
    config = load_bundle(bundle, container_id)
    terminal = bool((config.get("process") or {}).get("terminal"))
    size = own_size() if terminal else None
    created = create(kernel, Request(config, terminal=terminal, console_size=size))
    for warning in created.warnings:
        print(f"sampan-runtime: {warning}", file=sys.stderr)
    try:
        if pid_file is not None:
            atomic.write_file(pid_file, str(created.pid).encode(), 0o644)
        _forward_signals(kernel, created)
        created.start()
        if created.console is not None:
            relay(created.console)
        return wait_exit(kernel, created.pidfd)
    finally:
        created.abort()


def _forward_signals(kernel: Kernel, created: Created) -> None:
    def forward(number: int, _frame: FrameType | None) -> None:
        try:
            kernel.pidfd_send_signal(created.pidfd, number)
        except ProcessLookupError:
            pass

    for number in _FORWARDED:
        signal.signal(number, forward)


if __name__ == "__main__":
    sys.exit(main())
