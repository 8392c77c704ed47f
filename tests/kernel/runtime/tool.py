"""Bundles and the command `sampan-runtime`, for the tests beside this file."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import make_config, make_rootfs
from tests.ledger import Ledger

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
COMMAND = [sys.executable, "-m", "sampan.runtime"]
Done = subprocess.CompletedProcess[str]


@dataclass
class Tool:
    folder: Path
    ids: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "state"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def configure(self, *args: str, **process: Any) -> dict[str, Any]:
        """Write config.json; what it is, to be changed and written again."""
        config = make_config("x", *args, **process)
        del config["linux"]["cgroupsPath"]
        config["root"] = {"path": "rootfs"}
        return self.write(config)

    def write(self, config: dict[str, Any]) -> dict[str, Any]:
        (self.bundle / "config.json").write_text(json.dumps(config))
        return config

    def new_id(self) -> str:
        self.ids.append(f"{self.folder.name}-{os.getpid()}-{len(self.ids)}")
        return self.ids[-1]

    def argv(self, *args: str, command: list[str] = COMMAND) -> list[str]:
        return [*command, "--root", str(self.root), *args]

    def __call__(self, *args: str, **more: Any) -> Done:
        """With files for the output: a container that stays keeps them open."""
        environment = {**ENVIRONMENT, **more.pop("env", {})}
        argv = self.argv(*args, command=more.pop("command", COMMAND))
        output, errors = (os.memfd_create(name) for name in ("output", "errors"))
        try:
            done = subprocess.run(
                argv,
                env=environment,
                stdin=more.pop("stdin", subprocess.DEVNULL),
                stdout=output,
                stderr=errors,
                timeout=60,
                **more,
            )
            texts = [os.pread(fd, 1 << 24, 0).decode(errors="replace") for fd in (output, errors)]
        finally:
            os.close(output)
            os.close(errors)
        return subprocess.CompletedProcess(argv, done.returncode, *texts)

    def ok(self, *args: str, **more: Any) -> str:
        done = self(*args, **more)
        assert done.returncode == 0, f"{args}: {done.returncode} {done.stdout} {done.stderr}"
        return str(done.stdout)

    def create(self, *flags: str, **more: Any) -> str:
        container_id = self.new_id()
        self.ok("create", "-b", str(self.bundle), *flags, container_id, **more)
        return container_id

    def state(self, container_id: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.ok("state", container_id))
        return state

    def status(self, container_id: str) -> str:
        return str(self.state(container_id)["status"])


@contextlib.contextmanager
def tool_in(folder: Path) -> Iterator[Tool]:
    """Whatever containers are left are deleted, and the host is as it was."""
    (folder / "bundle").mkdir()
    make_rootfs(str(folder / "bundle" / "rootfs"))
    tool = Tool(folder)
    before = Ledger.take("sampan-runtime")
    yield tool
    for container_id in tool.ids:
        tool("delete", "--force", container_id)
    before.require_same(15)
    assert not tool.root.exists() or list(tool.root.iterdir()) == []


@pytest.fixture
def tool(tmp_path: Path) -> Iterator[Tool]:
    with tool_in(tmp_path) as made:
        yield made
