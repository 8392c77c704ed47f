"""Verifies terminals: which one the command has, its size, and that no image can bend it elsewhere."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.runtime.exec import exec_process
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.request import Target, wait_exit
from tests.kernel.conftest import Box
from tests.ledger import tree_state


def read_to_end(console: int) -> str:
    """All that comes until the last process has left the terminal (EIO)."""
    output = b""
    while select.select([console], [], [], 20)[0]:
        try:
            output += os.read(console, 65536)
        except OSError:
            return output.decode().replace("\r\n", "\n")
    raise AssertionError(f"no end after {output!r}")


def test_a_container_with_a_terminal(box: Box) -> None:
    os.symlink("busybox", box.lower / "bin/tty")
    os.symlink("busybox", box.lower / "bin/stty")
    script = (
        "tty; stty size; stat -c '%t:%T' /dev/console; readlink /proc/self/fd/2; cat /proc/$$/stat"
    )
    config = box.config("sh", "-c", script)
    created = box.create(config, terminal=True, console_size=(33, 99))
    assert created.console is not None
    created.start()
    lines = read_to_end(created.console).splitlines()
    assert box.finish(created) == 0
    assert lines[:4] == ["/dev/pts/0", "33 99", "88:0", "/dev/pts/0"]
    session, terminal = lines[4].split()[5:7]
    assert (session, terminal) == ("1", str(os.makedev(136, 0)))


def test_an_executed_process_with_a_terminal(box: Box, running: Callable[..., Target]) -> None:
    os.symlink("busybox", box.lower / "bin/tty")
    target = running()
    process = {**target.config["process"], "args": ["sh", "-c", "tty; ls /proc/self/fd"]}
    executed = exec_process(box.kernel, target, process, terminal=True, console_size=(5, 6))
    assert executed.console is not None
    output = read_to_end(executed.console)
    assert wait_exit(box.kernel, executed.pidfd) == 0
    os.close(executed.pidfd)
    os.close(executed.console)
    assert output.split() == ["/dev/pts/0", "0", "1", "2", "3"]


def test_the_terminal_is_the_users(box: Box) -> None:
    config = box.config("stat", "-c", "%u", "/dev/pts/0", user={"uid": 12, "gid": 12})
    created = box.create(config, terminal=True)
    assert created.console is not None
    created.start()
    assert read_to_end(created.console) == "12\n"
    box.finish(created)


@pytest.mark.parametrize("bent", ["dev", "dev/console", "dev/pts", "dev/ptmx", "dev/pts/ptmx"])
def test_bent_names_lead_nowhere(box: Box, tmp_path: Path, bent: str) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("mine")
    (box.lower / "dev/pts").mkdir()
    (box.lower / "dev/console").touch()
    place = box.lower / bent
    if bent == "dev":
        os.rename(place, box.lower / "old")
    elif bent == "dev/pts":
        place.rmdir()
    elif place.exists():
        place.unlink()
    os.symlink(str(canary / "file") if "console" in bent else str(canary), place)
    config = box.config("true")
    # With the image's own /dev, nothing hides the bent names.
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/dev"]
    before = tree_state(str(canary))
    try:
        created = box.create(config, terminal=True)
    except RuntimeFailure:
        pass
    else:
        created.abort()
    assert tree_state(str(canary)) == before


def test_a_terminal_needs_a_devpts(box: Box) -> None:
    config = box.config("true")
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "devpts"]
    with pytest.raises(RuntimeFailure, match="a terminal needs a devpts mount"):
        box.create(config, terminal=True)


def test_a_false_multiplexer_is_not_opened(box: Box, running: Callable[..., Target]) -> None:
    target = running()
    script = "cd /tmp; rm -f x; mkfifo x; true"
    for name in ("rm", "mkfifo"):
        os.symlink("busybox", box.lower / "bin" / name)
    assert box.exec(target, "sh", "-c", script).status == 0
    config = box.config("sleep", "1000")
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] != "devpts"]
    bare = running(config)
    assert box.exec(bare, "sh", "-c", "mkfifo /dev/ptmx; mkfifo /tmp/x").status == 0
    process = {**config["process"], "args": ["true"]}
    with pytest.raises(RuntimeFailure, match="error creating the console"):
        exec_process(box.kernel, bare, process, terminal=True)
