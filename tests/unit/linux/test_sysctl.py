"""Verifies that names of kernel switches cannot leave /proc/sys and that values are read as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.linux import sysctl


@pytest.mark.parametrize("parts", [("net", "..", "x"), ("a/b",), ("",), (".",)])
def test_parts_are_single_names(parts: tuple[str, ...]) -> None:
    """An interface called like a path is refused."""
    with pytest.raises(ValueError):
        sysctl.path(*parts)


def test_read_and_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, not dots; a missing switch is ENOENT with its path."""
    monkeypatch.setattr(sysctl, "PROC_SYS", str(tmp_path))
    (tmp_path / "eth0.10").mkdir()
    (tmp_path / "eth0.10" / "forwarding").write_text("0\n")
    assert sysctl.read("eth0.10", "forwarding") == "0"
    sysctl.write("1", "eth0.10", "forwarding")
    assert sysctl.read("eth0.10", "forwarding") == "1"
    with pytest.raises(FileNotFoundError, match="nothing"):
        sysctl.write("1", "nothing")


def test_a_value_the_kernel_refuses() -> None:
    """The error names the switch (read-only here, so that nothing changes)."""
    with pytest.raises(OSError, match="ostype"):
        sysctl.write("x", "kernel", "ostype")
