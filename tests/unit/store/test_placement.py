"""Folders are spread where the file system can, and nothing breaks where it cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sampan.store.placement import spread


def test_a_folder_is_marked_once_and_for_all(tmp_path: Path) -> None:
    """`lsattr` shows the mark on file systems that have it; a second time changes nothing."""
    spread(str(tmp_path))
    spread(str(tmp_path))
    shown = subprocess.run(["lsattr", "-d", str(tmp_path)], capture_output=True, text=True)
    if shown.returncode:
        pytest.skip(f"no attributes here: {shown.stderr}")
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True)
    assert ("T" in shown.stdout.split()[0]) == (kind.stdout.strip() == "ext2/ext3")


def test_other_file_systems_are_left_alone() -> None:
    """/proc has no attributes to set."""
    spread("/proc/self")
