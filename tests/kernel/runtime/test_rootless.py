"""Verifies containers of an ordinary user (uid 1000): alone with his own id, and with the ids of /etc/subuid."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engines import wait_until
from tests.kernel.runtime.tool import Done, Tool, tool

__all__ = ["tool"]
USER = 1000
NOTE = "no permission to make a cgroup"


class Ordinary:
    """The tool as that user calls it."""

    def __init__(self, tool: Tool, *before: str) -> None:
        self.tool = tool
        self.runtime_dir = tool.folder / "run"
        self.runtime_dir.mkdir(exist_ok=True)
        self._before = before
        # pytest's own folders are closed to others.
        for folder in [tool.folder, *tool.folder.parents][:3]:
            folder.chmod(0o755)
        for folder in (tool.bundle, self.runtime_dir):
            subprocess.run(["chown", "-R", f"{USER}:{USER}", str(folder)], check=True)

    def __call__(self, *args: str, cwd: str | None = None) -> Done:
        source = next(path for path in sys.path if path.endswith("src"))
        code = f"import sys; sys.path.append({source!r}); from sampan.runtime.main import entry; entry()"
        identity = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        # Debian's, since another user's home holds the one that runs this.
        program = ["/usr/bin/python3", "-I", "-S", "-B", "-c", code]
        output = os.memfd_create("output")
        errors = os.memfd_create("errors")
        try:
            done = subprocess.run(
                [*self._before, *identity, *program, *args],
                env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.runtime_dir)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                timeout=60,
                cwd=cwd or str(self.tool.bundle),
            )
            texts = [os.pread(fd, 1 << 20, 0).decode() for fd in (output, errors)]
        finally:
            os.close(output)
            os.close(errors)
        return subprocess.CompletedProcess(done.args, done.returncode, *texts)

    def ok(self, *args: str) -> str:
        done = self(*args)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def configure(self, *args: str) -> dict[str, Any]:
        path = self.tool.bundle / "config.json"
        path.unlink(missing_ok=True)
        self.ok("spec", "--rootless")
        config: dict[str, Any] = json.loads(path.read_text())
        config["process"] |= {"terminal": False, "args": list(args)}
        self.write(config)
        return config

    def write(self, config: dict[str, Any]) -> None:
        (self.tool.bundle / "config.json").write_text(json.dumps(config))


@pytest.fixture
def ordinary(tool: Tool) -> Ordinary:
    if not os.path.exists("/usr/bin/python3"):
        pytest.skip("needs a python3 that every user may run")
    return Ordinary(tool)


def test_a_container_with_a_note_of_what_is_missing(ordinary: Ordinary) -> None:
    ordinary.configure("sh", "-c", "id -u; cat /proc/self/uid_map; touch /tmp/x; echo ok")
    done = ordinary("run", "one")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (lines[0], lines[1].split()) == ("0", ["0", str(USER), "1"])
    assert NOTE in done.stderr
    assert list((ordinary.runtime_dir / "sampan-runtime").iterdir()) == []


def test_it_has_the_rights_that_were_asked_for(ordinary: Ordinary) -> None:
    """In its own user namespace, where the user's lack of them on the host is no limit; for exec too."""
    config = ordinary.configure("sh", "-c", "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status")
    names = ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SYS_ADMIN"]
    config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    ordinary.write(config)
    wanted = 1 << 5 | 1 << 10 | 1 << 21
    done = ordinary("run", "one")
    assert [int(line.split()[1], 16) for line in done.stdout.splitlines()] == [wanted] * 3, done
    config["process"]["args"] = ["sleep", "1000"]
    ordinary.write(config)
    ordinary.ok("create", "two")
    try:
        ordinary.ok("start", "two")
        output = ordinary.ok("exec", "two", "busybox", "grep", "CapEff", "/proc/self/status")
        assert int(output.split()[1], 16) == wanted
    finally:
        ordinary.ok("delete", "--force", "two")


def test_a_whole_life(ordinary: Ordinary) -> None:
    ordinary.configure("sleep", "1000")
    ordinary.ok("create", "one")
    try:
        assert json.loads(ordinary.ok("state", "one"))["status"] == "created"
        ordinary.ok("start", "one")
        state = json.loads(ordinary.ok("state", "one"))
        assert state["status"] == "running"
        assert os.stat(f"/proc/{state['pid']}").st_uid == USER
        done = ordinary("exec", "one", "sh", "-c", "id -u; readlink /proc/self/ns/pid; exit 3")
        assert done.returncode == 3, done.stderr
        assert done.stdout.splitlines() == ["0", os.readlink(f"/proc/{state['pid']}/ns/pid")]
        ordinary.ok("kill", "one", "KILL")
        wait_until(lambda: '"stopped"' in ordinary.ok("state", "one"), "its end")
    finally:
        ordinary.ok("delete", "--force", "one")


def test_what_needs_rights_is_refused(ordinary: Ordinary) -> None:
    config = ordinary.configure("true")
    config["linux"]["resources"] = {"memory": {"limit": 1 << 26}}
    ordinary.write(config)
    done = ordinary("run", "one")
    assert done.returncode == 1
    assert "linux.resources.memory: no permission to make a cgroup" in done.stderr
    del config["linux"]["resources"]
    config["linux"]["namespaces"] = [
        entry for entry in config["linux"]["namespaces"] if entry["type"] != "user"
    ]
    ordinary.write(config)
    assert "a rootless container needs a user namespace" in ordinary("run", "one").stderr


def test_more_ids_need_an_entry(ordinary: Ordinary) -> None:
    config = ordinary.configure("true")
    config["linux"]["uidMappings"].append({"containerID": 1, "hostID": 100000, "size": 1000})
    ordinary.write(config)
    done = ordinary("run", "one")
    assert done.returncode == 1
    assert "newuidmap" in done.stderr


def test_the_ids_of_subuid(tool: Tool) -> None:
    """With shadow's helpers and an entry in /etc/subuid, in a mount namespace of the test's own."""
    if shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is not installed (Debian package uidmap)")
    files = {
        "passwd": f"root:x:0:0::/:/bin/sh\nordinary:x:{USER}:{USER}::/:/bin/sh\n",
        "subuid": "ordinary:100000:1000\n",
        "subgid": "ordinary:100000:1000\n",
    }
    mounts = []
    for name, text in files.items():
        path = tool.folder / name
        path.write_text(text)
        path.chmod(0o644)
        if not Path(f"/etc/{name}").exists():
            pytest.skip(f"this host has no /etc/{name} to put one over")
        mounts.append(f"mount --bind {path} /etc/{name}")
    script = f'{" && ".join(mounts)} && exec "$@"'
    ordinary = Ordinary(tool, "unshare", "--mount", "sh", "-c", script, "sh")
    config = ordinary.configure("sh", "-c", "cat /proc/self/uid_map; id -u; cat /proc/self/gid_map")
    for key in ("uidMappings", "gidMappings"):
        config["linux"][key].append({"containerID": 1, "hostID": 100000, "size": 1000})
    config["process"]["user"] = {"uid": 33, "gid": 33, "additionalGids": [50]}
    ordinary.write(config)
    done = ordinary("run", "one")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    maps = [["0", str(USER), "1"], ["1", "100000", "1000"]]
    assert lines == [*maps, ["33"], *maps]
