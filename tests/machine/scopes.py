"""Run by pytest in the machine whose first process is systemd: `--systemd-cgroup`, see test_systemd.py."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.engines import wait_until
from tests.kernel.runtime.tool import Tool, tool

__all__ = ["tool"]
CGROUPS = Path("/sys/fs/cgroup")
SCOPE = "p-box.scope"


def configure(tool: Tool, *args: str, slice_name: str = "system.slice") -> dict[str, Any]:
    config = tool.configure(*args)
    config["linux"]["cgroupsPath"] = f"{slice_name}:p:box"
    config["linux"]["namespaces"].append({"type": "cgroup"})
    config["linux"]["resources"] |= {"memory": {"limit": 64 << 20}, "pids": {"limit": 50}}
    return tool.write(config)


def run(tool: Tool, *flags: str) -> str:
    return tool.ok("--systemd-cgroup", "run", *flags, "-b", str(tool.bundle), tool.new_id())


def prop(name: str) -> str:
    argv = ["systemctl", "show", "--value", "-p", name, SCOPE]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def require_gone(folder: Path) -> None:
    wait_until(lambda: prop("ActiveState") == "inactive", "the end of the unit", 60)
    wait_until(lambda: not folder.exists(), "the end of its cgroup", 60)
    assert prop("LoadState") == "not-found"


def test_in_the_foreground(tool: Tool) -> None:
    """In its scope, as the root of its own view; nothing stays."""
    configure(tool, "sh", "-c", "cat /proc/self/cgroup; cat /sys/fs/cgroup/memory.max")
    assert run(tool).split() == ["0::/", str(64 << 20)]
    require_gone(CGROUPS / "system.slice" / SCOPE)


def test_a_slice_of_its_own(tool: Tool) -> None:
    config = configure(tool, "cat", "/proc/self/cgroup", slice_name="a-b.slice")
    config["linux"]["namespaces"].pop()
    tool.write(config)
    assert run(tool).split() == [f"0::/a.slice/a-b.slice/{SCOPE}"]
    require_gone(CGROUPS / "a.slice/a-b.slice" / SCOPE)


def test_a_whole_life(tool: Tool) -> None:
    """create, start, exec, pause, update, stats, kill, delete; systemd and the kernel say the same."""
    folder = CGROUPS / "system.slice" / SCOPE
    configure(tool, "sleep", "1000")
    container = tool.new_id()
    tool.ok("--systemd-cgroup", "create", "-b", str(tool.bundle), container)
    assert prop("ActiveState") == "active"
    assert prop("Description") == f"container {container}"
    assert prop("Delegate") == "yes"
    tool.ok("--systemd-cgroup", "start", container)
    assert tool.status(container) == "running"
    assert (prop("MemoryMax"), prop("TasksMax")) == (str(64 << 20), "50")
    assert "0::/" in tool.ok("exec", container, "cat", "/proc/self/cgroup")
    flags = (
        "--memory",
        "32m",
        "--pids-limit",
        "20",
        "--cpu-quota",
        "20000",
        "--cpu-period",
        "100000",
    )
    tool.ok("--systemd-cgroup", "update", *flags, container)
    assert (prop("MemoryMax"), prop("TasksMax")) == (str(32 << 20), "20")
    subprocess.run(["systemctl", "daemon-reload"], check=True, timeout=120)
    values = [(folder / name).read_text().strip() for name in ("memory.max", "pids.max", "cpu.max")]
    assert values == [str(32 << 20), "20", "20000 100000"]
    os.symlink("busybox", tool.bundle / "rootfs/bin/mknod")
    done = tool("exec", container, "sh", "-c", "mknod /m c 1 11; head -c 0 /m")
    assert "Operation not permitted" in done.stderr
    event = json.loads(tool.ok("events", "--stats", container))
    assert event["data"]["pids"] == {"current": 1, "limit": 20}
    tool.ok("pause", container)
    assert tool.status(container) == "paused"
    tool.ok("resume", container)
    tool.ok("--systemd-cgroup", "kill", container, "KILL")
    wait_until(lambda: tool.status(container) == "stopped", "its end", 60)
    tool.ok("--systemd-cgroup", "delete", container)
    require_gone(folder)


def test_a_failure_leaves_no_unit(tool: Tool) -> None:
    configure(tool, "nope")
    done = tool("--systemd-cgroup", "run", "-b", str(tool.bundle), tool.new_id())
    assert done.returncode == 1
    assert '"nope": executable file not found' in done.stderr.replace("\\", "")
    require_gone(CGROUPS / "system.slice" / SCOPE)


def test_force_takes_all(tool: Tool) -> None:
    """What was created and never started, and what runs."""
    folder = CGROUPS / "system.slice" / SCOPE
    configure(tool, "sleep", "1000")
    container = tool.new_id()
    tool.ok("--systemd-cgroup", "create", "-b", str(tool.bundle), container)
    tool.ok("delete", "--force", container)
    require_gone(folder)
    run(tool, "-d")
    tool.ok("delete", "--force", tool.ids[-1])
    require_gone(folder)


def test_a_path_that_is_none_and_a_name_that_is_taken(tool: Tool) -> None:
    config = configure(tool, "sleep", "1000")
    run(tool, "-d")
    done = tool("--systemd-cgroup", "run", "-b", str(tool.bundle), tool.new_id())
    assert done.returncode == 1
    assert "container's cgroup is not empty" in done.stderr
    config["linux"]["cgroupsPath"] = "/a/path"
    tool.write(config)
    done = tool("--systemd-cgroup", "run", "-b", str(tool.bundle), tool.new_id())
    assert done.returncode == 1
    assert "slice:prefix:name" in done.stderr
