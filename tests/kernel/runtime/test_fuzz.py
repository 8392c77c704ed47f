"""Verifies with real containers: whatever config.json says, the answer is a container or an error with words."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bad_values import VALUES, places, spoil
from tests.bundles import make_config
from tests.kernel.runtime.tool import Tool, tool

__all__ = ["tool"]

# Spoilt, this one would make the host's own root the container's.
NEVER = ("root", "path")
BASE: dict[str, Any] = {**make_config("x", "true"), "root": {"path": "rootfs"}}
BASE["linux"] = {key: value for key, value in BASE["linux"].items() if key != "cgroupsPath"}
WAYS = [way for way in places(BASE) if way and way != NEVER]
MORE = [
    *(("process", name) for name in ("rlimits", "scheduler", "ioPriority", "noNewPrivileges")),
    *(("process", "user", name) for name in ("umask", "additionalGids", "uid")),
    *(("linux", name) for name in ("seccomp", "devices", "personality", "rootfsPropagation")),
    *(("linux", name) for name in ("timeOffsets", "uidMappings", "netDevices", "memoryPolicy")),
    *(("linux", "resources", name) for name in ("memory", "cpu", "pids", "unified", "blockIO")),
    *(("hooks",), ("annotations",), ("domainname",), ("root", "readonly"), ("linux", "intelRdt")),
]
_INTERNAL = re.compile(r"Traceback|\b\w+(Error|Exception|Warning):|<\w+ object")
_ONCE = "import sys; sys.path.append({!r}); from sampan.runtime.main import entry; entry()"
COMMAND = [
    *(sys.executable, "-I", "-S", "-c"),
    _ONCE.format(str(Path(__file__).parents[3] / "src")),
]


@pytest.mark.timeout(900)
@given(
    st.lists(
        st.tuples(st.sampled_from(WAYS + MORE), st.sampled_from(VALUES)), min_size=1, max_size=3
    )
)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_an_answer_with_words_or_a_container(tool: Tool, changes: list[tuple[Any, Any]]) -> None:
    config: Any = BASE
    for way, value in changes:
        try:
            config = spoil(config, way, value)
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change has taken that place away
    if not isinstance(config.get("root"), dict) or config["root"].get("path") != "rootfs":
        config = {**config, "root": {"path": "rootfs"}}
    tool.write(config)
    done = tool("run", "-b", str(tool.bundle), tool.new_id(), command=COMMAND)
    assert not _INTERNAL.search(done.stderr), done.stderr
    assert done.returncode == 0 or "level=error" in done.stderr or done.returncode in (126, 127)
    assert list(tool.root.iterdir() if tool.root.exists() else []) == []
