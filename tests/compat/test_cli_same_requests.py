"""The real `docker` and `sampan` send a daemon the same requests for the same command line, and print the same."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from tests import cli_cases
from tests.cli_cases import as_ours, comparable

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")

NEEDS_NEWER = [
    "create --annotation a=b busybox",
    "create --health-start-interval 3s busybox",
    "create --mac-address 92:d0:c6:0a:29:33 busybox",
    "create --gpus all --cgroupns host busybox",
    "run --annotation a=b busybox",
    "rmi --platform linux/amd64 x",
    "load --platform linux/amd64 -i archive",
    "image inspect --platform linux/amd64 x",
    "exec -t x true",
]


@pytest.mark.parametrize("name", ["create", "verbs"])
def test_same_requests_and_output(name: str, tmp_path: Path) -> None:
    different = []
    for number, line in enumerate(cli_cases.lines(name)):
        folders = [tmp_path / f"{number}{who}" for who in "ds"]
        for folder in folders:
            folder.mkdir()
        theirs = comparable(line, as_ours(cli_cases.docker(shlex.split(line), folders[0])))
        ours = comparable(line, cli_cases.sampan(shlex.split(line), folders[1]))
        if ours != theirs:
            different.append((line, theirs, ours))
    assert not different


@pytest.mark.parametrize(
    "version", ["1.24", "1.30", "1.40", "1.41", "1.43", "1.44", "1.47", "1.55"]
)
@pytest.mark.parametrize("line", NEEDS_NEWER)
def test_old_and_new_daemons_are_treated_as_docker_does(
    line: str, version: str, tmp_path: Path
) -> None:
    folders = [tmp_path / who for who in ("docker", "sampan")]
    for folder in folders:
        folder.mkdir()
    theirs = comparable(line, as_ours(cli_cases.docker(shlex.split(line), folders[0], version)))
    ours = comparable(line, cli_cases.sampan(shlex.split(line), folders[1], version))
    assert ours == theirs
