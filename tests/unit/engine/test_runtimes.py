"""Verifies the names of runtimes: flags, daemon.json, what is refused, what `/info` says."""

from __future__ import annotations

import pytest

from sampan.engine import options, runtimes
from sampan.engine.config import ConfigError, DaemonConfig, merge
from sampan.errors import InvalidParameter


def config(*words: str, **directives: object) -> DaemonConfig:
    return merge(options.parse(words).directives, directives)


def test_by_flag_and_by_file() -> None:
    made = config("--add-runtime", "a=/bin/true", "--default-runtime=a")
    assert runtimes.command(made, "a") == ("/bin/true",)
    assert made.default_runtime == "a"
    made = config(runtimes={"b": {"path": "true", "runtimeArgs": ["--debug"]}})
    program, *arguments = runtimes.command(made, "b")
    assert (program.rpartition("/")[2], arguments) == ("true", ["--debug"])
    assert runtimes.described(made) == {
        "sampan": {"path": "sampan-runtime"},
        "b": {"path": "true", "runtimeArgs": ["--debug"]},
    }


@pytest.mark.parametrize("name", ["", "sampan", "runc", "io.containerd.runc.v2"])
def test_our_own(name: str) -> None:
    runtimes.check(config(), name)
    assert runtimes.command(config(), name) == ()


def test_what_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="unknown or invalid runtime name: x"):
        runtimes.check(config(), "x")
    made = config("--add-runtime", "gone=/nonexistent")
    with pytest.raises(InvalidParameter, match='exec: "/nonexistent": executable file not found'):
        runtimes.command(made, "gone")
    with pytest.raises(ConfigError, match="specified default runtime 'x' does not exist"):
        config("--default-runtime=x")
    with pytest.raises(ConfigError, match="runtime name 'sampan' is reserved"):
        config("--add-runtime", "sampan=/bin/true")
    with pytest.raises(options.UsageError, match="invalid runtime a"):
        config("--add-runtime", "a")
