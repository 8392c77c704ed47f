"""Verifies hooks: when each kind runs, where, with what on its stdin, and what its failure means."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from tests.engines import wait_until
from tests.kernel.runtime.tool import Tool, tool

__all__ = ["tool"]


def hook(script: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], **more}


def test_all_kinds_run_in_order_with_the_state(tool: Tool) -> None:
    """On the host or in the container's root, before and after the moments that the specification names."""
    config = tool.configure("sh", "-c", "echo command >> /out; sleep 1000")
    out = tool.bundle / "rootfs/out"
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    config["hooks"] = {kind: [hook(f"cat > {out}.{kind}")] for kind in kinds}
    config["hooks"]["startContainer"] = [hook("cat > /out.startContainer")]
    config["annotations"] = {"a": "b"}
    tool.write(config)
    container = tool.create()
    pid = tool.state(container)["pid"]

    def seen(kind: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((tool.bundle / f"rootfs/out.{kind}").read_text())
        return state

    def ran(kind: str) -> bool:
        return (tool.bundle / f"rootfs/out.{kind}").exists()

    expected = {"id": container, "bundle": str(tool.bundle), "annotations": {"a": "b"}}
    for kind, own in (("prestart", pid), ("createRuntime", pid), ("createContainer", 1)):
        assert seen(kind) == {**expected, "ociVersion": "1.2.0", "status": "creating", "pid": own}
    assert not ran("startContainer")
    tool.ok("start", container)
    assert (seen("startContainer")["status"], seen("startContainer")["pid"]) == ("created", 1)
    assert (seen("poststart")["status"], seen("poststart")["pid"]) == ("running", pid)
    assert not ran("poststop")
    tool.ok("delete", "--force", container)
    assert (seen("poststop")["status"], seen("poststop")["pid"]) == ("stopped", 0)


def test_create_runtime_runs_on_the_host_and_create_container_in_the_namespaces(tool: Tool) -> None:
    config = tool.configure("true")
    out = tool.folder / "out"
    script = f"readlink /proc/self/ns/uts >> {out}"
    config["hooks"] = {"createRuntime": [hook(script)], "createContainer": [hook(script)]}
    tool.write(config)
    tool.create()
    host, container = out.read_text().splitlines()
    assert host == os.readlink("/proc/self/ns/uts")
    assert container != host


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_failing_hook_undoes_the_container(tool: Tool, kind: str) -> None:
    config = tool.configure("true")
    config["hooks"] = {kind: [hook("exit 0"), hook("echo out; echo no >&2; exit 3")]}
    tool.write(config)
    container = tool.new_id()
    done = tool("create", "-b", str(tool.bundle), container)
    assert done.returncode == 1
    assert f"error running {kind} hook #1: exit status 3, stdout: out\\n, stderr: no" in done.stderr
    assert list(tool.root.iterdir()) == []


def test_a_failing_start_hook_fails_the_start(tool: Tool) -> None:
    config = tool.configure("sleep", "1000")
    config["hooks"] = {"startContainer": [hook("exit 4")]}
    tool.write(config)
    container = tool.create()
    done = tool("start", container)
    assert done.returncode == 1
    assert "error running startContainer hook #0: exit status 4" in done.stderr
    wait_until(lambda: tool.status(container) == "stopped", "its end")


def test_a_failing_poststart_hook_ends_the_container(tool: Tool) -> None:
    config = tool.configure("sleep", "1000")
    config["hooks"] = {"poststart": [hook("exit 4")]}
    tool.write(config)
    container = tool.create()
    assert "error running poststart hook #0" in tool("start", container).stderr
    wait_until(lambda: tool.status(container) == "stopped", "its end")


def test_poststop_hooks_all_run_and_failures_are_only_told(tool: Tool) -> None:
    config = tool.configure("true")
    out = tool.folder / "out"
    config["hooks"] = {"poststop": [hook("exit 4"), hook(f"echo ran > {out}")]}
    tool.write(config)
    done = tool("run", "-b", str(tool.bundle), tool.new_id())
    assert done.returncode == 0
    assert "level=warning" in done.stderr
    assert out.read_text() == "ran\n"


def test_a_hook_has_its_time(tool: Tool) -> None:
    config = tool.configure("true")
    config["hooks"] = {"createRuntime": [hook("exec sleep 1000", timeout=1)]}
    tool.write(config)
    begun = time.monotonic()
    done = tool("create", "-b", str(tool.bundle), tool.new_id())
    assert "hook ran past specified timeout of 1s" in done.stderr
    assert 1 <= time.monotonic() - begun < 30


def test_a_hook_that_is_not_there(tool: Tool) -> None:
    config = tool.configure("true")
    config["hooks"] = {"createRuntime": [{"path": "/nonexistent"}]}
    tool.write(config)
    done = tool("create", "-b", str(tool.bundle), tool.new_id())
    assert "error running createRuntime hook #0: exit status 127" in done.stderr
    assert "/nonexistent" in done.stderr


def test_a_hook_that_reads_nothing_and_writes_much(tool: Tool) -> None:
    """Neither blocks: a megabyte of annotations, a megabyte of output."""
    config = tool.configure("true")
    config["annotations"] = {"a": "b" * 1_000_000}
    config["hooks"] = {"createRuntime": [hook("head -c 1000000 /dev/zero")]}
    tool.write(config)
    assert tool.status(tool.create()) == "created"
