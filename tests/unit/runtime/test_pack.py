"""Verifies the pack of byte-code: whole, taken only from whom it may be taken, never older than its sources."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from sampan.runtime import pack

PROJECT = Path(__file__).parents[3]
SHOW = "import sys; print([n for n, m in sys.modules.items() if m.__spec__ and type(m.__spec__.loader).__name__ == 'Pack'])"
BOOT = pack.BOOT.replace(
    "from sampan.runtime.__main__ import entry\nentry()\n",
    f"import sampan.runtime.main, sampan.runtime.tool.creating\n{SHOW}\n",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of what the command is made of, with its pack."""
    for room in ("runtime", "linux", "spec"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / "src/sampan" / room, tmp_path / "sampan" / room, ignore=ignore)
    for name in ("__init__.py", "errors.py"):
        shutil.copy(PROJECT / "src/sampan" / name, tmp_path / "sampan")
    pack.write(str(tmp_path))
    return tmp_path


def packed(site: Path) -> Path:
    return site / "sampan/runtime/__pycache__" / f"command.{sys.implementation.cache_tag}"


def loaded(site: Path) -> set[str]:
    """Which modules came out of the pack."""
    argv = [sys.executable, "-ISBc", BOOT, str(site)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(eval(done.stdout))


def test_all_that_is_imported_comes_from_it(site: Path) -> None:
    names = "import sampan.runtime.main, sampan.runtime.tool.creating"
    show = f"import sys; sys.path.append({str(site)!r}); {names}; print(*sys.modules)"
    argv = [sys.executable, "-ISBc", show]
    modules = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert loaded(site) == {n for n in modules if n.startswith("sampan")} - {pack.LOADER}


def test_a_changed_source_is_not_taken_from_it(site: Path) -> None:
    source = site / "sampan/spec/version.py"
    source.write_text("VERSION = 'other'\n")
    found = loaded(site)
    assert "sampan.spec.version" not in found
    assert "sampan.spec.record" in found
    pack.write(str(site))
    assert "sampan.spec.version" in loaded(site)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_one_that_others_may_write_is_not_read(site: Path, mode: int) -> None:
    packed(site).chmod(mode)
    assert loaded(site) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_one_of_somebody_else_is_not_read(site: Path) -> None:
    os.chown(packed(site), 65534, 65534)
    assert loaded(site) == set()


@pytest.mark.parametrize("content", [b"", b"other", MAGIC_NUMBER[:-1]])
def test_one_of_another_interpreter_is_not_read(site: Path, content: bytes) -> None:
    packed(site).write_bytes(content)
    assert loaded(site) == set()


def test_without_one_it_is_made_by_who_may(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`refresh` writes it where there is none, and leaves one alone that is right."""
    packed(site).unlink()
    monkeypatch.setattr(pack, "__file__", str(site / "sampan/runtime/pack.py"))
    pack.refresh()
    assert packed(site).stat().st_mode & 0o777 == 0o644
    assert "sampan.runtime.create" in loaded(site)
    launcher = site / "sampan/runtime/__pycache__" / pack.LAUNCHER
    assert launcher.stat().st_mode & 0o777 == 0o755


def test_the_script_has_the_same_text() -> None:
    script = (PROJECT / "tools/sampan-runtime").read_text()
    found = re.search(r"-ISBc '(.*?)' \"\$site\"", script, re.DOTALL)
    assert found is not None
    assert found[1] == pack.BOOT
