"""Verifies that PATH chooses no code of the commands that root calls, by a link to them too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.parametrize("defended", [True, False], ids=["ours", "control"])
@pytest.mark.parametrize("name", ["sampan-runtime", "sampand"])
def test_the_callers_path_chooses_no_code(tmp_path: Path, name: str, defended: bool) -> None:
    """P1. The control is the same script without its own PATH."""
    traps, place = tmp_path / "traps", tmp_path / "bin"
    traps.mkdir()
    place.mkdir()
    trap = traps / "readlink"
    trap.write_text(f'#!/bin/sh\n: >"{tmp_path}/marker"\nexec /usr/bin/readlink "$@"\n')
    trap.chmod(0o755)
    script = place / name
    text = (TOOLS / name).read_text()
    script.write_text(text if defended else text.replace("PATH=/usr/bin:/bin ", ""))
    script.chmod(0o755)
    shutil.copy("/bin/echo", place / "python")  # beside it, where the interpreter lies
    link = tmp_path / "link"
    link.symlink_to(script)
    environment = {**os.environ, "PATH": f"{traps}:{os.environ['PATH']}"}
    argv = [str(link), "a", "b"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()[-2:]) == (0, ["a", "b"])
    assert (tmp_path / "marker").exists() is not defended
