"""Verifies with strace that after entering a root nothing is opened but by descriptor (security.md, P2)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.conftest import Box

DRIVER = """
import json, os, sys
from sampan.linux.kernel import LinuxKernel
from sampan.runtime.create import create
from sampan.runtime.exec import exec_process
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.request import Request, Target, wait_exit
config = json.loads(sys.argv[1])
kernel = LinuxKernel()
created = create(kernel, Request(config))
created.start()
target = Target(created.pid, created.pidfd, config, created.cgroup)
for args in (["true"], ["missing"], ["/etc"]):
    try:
        executed = exec_process(kernel, target, {**config["process"], "args": args})
        wait_exit(kernel, executed.pidfd)
    except RuntimeFailure:
        pass
created.abort()
"""
# The control: nothing is sealed, and the folder is entered by code that loads what it needs when it needs it.
NAIVE = """
import sampan.runtime.exec, sampan.runtime.init
from sampan.runtime import command
def enter_directory(kernel, root_fd, path, *, fd=-1):
    try:
        import wave
    except ImportError:
        pass
    command.enter_directory(kernel, root_fd, path, fd=fd)
for module in (sampan.runtime.exec, sampan.runtime.init):
    module.enter_directory = enter_directory
    module.seal_interpreter = lambda: None
"""
OPENING = re.compile(r"^(\d+)\s+(open|openat|openat2|execve|chroot|pivot_root|setns)\((.*)$")


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
@pytest.mark.parametrize("naive", [False, True], ids=["ours", "naive"])
def test_nothing_is_looked_up_between_entering_and_execve(
    box: Box, tmp_path: Path, naive: bool
) -> None:
    """P2, P3: in init and in three that are brought in, two of which fail."""
    trace = tmp_path / "trace"
    config = box.config("sleep", "1000")
    config["root"] = {"path": str(box.lower)}
    calls = "open,openat,openat2,execve,chroot,pivot_root,setns"
    command = ["strace", "-f", "-qq", "-e", f"trace={calls}", "-e", "signal=none", "-o", str(trace)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run(
        [*command, sys.executable, "-c", NAIVE * naive + DRIVER, json.dumps(config)],
        env=environment,
        check=True,
        timeout=90,
    )
    inside: dict[str, list[str]] = {}
    ended: set[str] = set()
    for line in trace.read_text().splitlines():
        match = OPENING.match(line)
        if match is None:
            continue
        pid, name, arguments = match.groups()
        if name == "pivot_root" or (name == "setns" and "CLONE_NEWNS" in arguments):
            inside[pid] = []
        elif pid in inside and pid not in ended:
            if name == "execve":
                ended.add(pid)
            else:
                inside[pid].append(f"{name}({arguments}")
    assert len(inside) == 4  # init and three executed processes
    assert len(ended) == 2  # the other two never came to execve
    opened = [call for calls_of_one in inside.values() for call in calls_of_one]
    # The root itself, and the working directory below it by descriptor.
    allowed = re.compile(r'openat2\((AT_FDCWD, "/", |\d+, "/", ).*O_PATH\|O_DIRECTORY')
    others = [call for call in opened if not allowed.match(call)]
    assert bool(others) is naive, others
