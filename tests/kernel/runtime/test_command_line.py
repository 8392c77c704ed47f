"""Verifies the command `sampan-runtime`: a bundle runs, with and without a terminal, and errors are told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sampan.runtime.main import load_bundle, main
from tests.bundles import make_config, make_rootfs
from tests.ledger import Ledger

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
COMMAND = [sys.executable, "-m", "sampan.runtime.main"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_rootfs(str(tmp_path / "rootfs"))
    return tmp_path


def write(bundle: Path, *args: str, **process: Any) -> str:
    """The configuration; returns a container id."""
    container_id = f"cli-{bundle.name}-{os.getpid()}"
    config = make_config(container_id, *args, **process)
    del config["linux"]["cgroupsPath"]
    (bundle / "source").write_text("bound\n")
    entry = {"destination": "/bound", "type": "bind", "source": "source", "options": ["bind"]}
    config["mounts"].append(entry)
    (bundle / "config.json").write_text(json.dumps(config))
    return container_id


def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, **more
    )


def test_a_bundle_runs_and_leaves_nothing(bundle: Path) -> None:
    container_id = write(bundle, "sh", "-c", "cat /bound; echo error >&2; exit 5")
    before = Ledger.take(container_id)
    pid_file = bundle / "pid"
    result = run("run", "-b", str(bundle), "--pid-file", str(pid_file), container_id)
    assert (result.returncode, result.stdout, result.stderr) == (5, "bound\n", "error\n")
    assert int(pid_file.read_text()) > 1
    before.require_same()


def test_a_terminal_is_relayed(bundle: Path) -> None:
    container_id = write(bundle, "sh", "-c", "read x; echo got $x; ls /proc/self/fd", terminal=True)
    result = run("run", "-b", str(bundle), container_id, input="hello\n")
    assert result.returncode == 0
    assert "got hello" in result.stdout.splitlines()


def test_signals_are_passed_on(bundle: Path) -> None:
    script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.01; done"
    container_id = write(bundle, "sh", "-c", script)
    command = [*COMMAND, "run", "-b", str(bundle), container_id]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "got it\n"
    assert process.returncode == 3


def test_failures_are_told_and_leave_nothing(bundle: Path) -> None:
    container_id = write(bundle, "nope")
    before = Ledger.take(container_id)
    result = run("run", "-b", str(bundle), container_id)
    assert result.returncode == 1
    assert result.stderr == (
        'sampan-runtime: unable to start container process: exec: "nope": '
        "executable file not found in $PATH\n"
    )
    before.require_same()


@pytest.mark.parametrize("container_id", ["..", ".", "a/b", "", "a b", "\n"])
def test_an_id_that_could_be_a_path(
    bundle: Path, capsys: pytest.CaptureFixture[str], container_id: str
) -> None:
    write(bundle, "true")
    assert main(["run", "-b", str(bundle), container_id]) == 1
    assert "invalid container id" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-b", str(tmp_path), "x"]) == 1
    assert "config.json" in capsys.readouterr().err
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="not an object"):
        load_bundle(str(tmp_path), "x")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("sampan-runtime version ")
