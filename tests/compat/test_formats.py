"""Every list with `--format`: `sampan` prints what the real `docker` prints of the same daemon, to the character."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, Result, running_engine
from tests.rootfs import busybox_tar

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")

LISTS = [
    *("ps -a", "ps -as", "ps -a --no-trunc", "ps -aq", "ps -a -f name=nosuch"),
    *("images", "images --digests", "images -a --no-trunc", "images -q", "image ls nosuch"),
    *("network ls", "network ls --no-trunc", "volume ls", "volume ls -q"),
    *("history busybox", "history --no-trunc busybox"),
    *("system df", "system df -v"),
]
FORMATS = [
    "",
    "json",
    "{{json .}}",
    "table",
    "table {{json .}}",
    "raw",
    "{{.NoSuch}}",
    "{{",
    "words",
]
MORE = [
    ("system df", "table {{.Type}}\\t{{.Reclaimable}}"),
    ("system df -v", "{{range .Images}}{{.ID}} {{.Repository}}\\n{{end}}"),
    ("system df -v", "{{len .Containers}} {{len .Volumes}} {{json .BuildCache}}"),
    ("system df -v", "{{range .Volumes}}{{.Name}} {{.Links}} {{.Size}} {{.Driver}};{{end}}"),
    ("system df -v", 'table {{range .Containers}}{{.ID}} {{.Size}} {{.Label "a"}}{{end}}'),
    ("ps -a", "table {{.ID}}\\t{{.Size}}"),
    ("ps -a", "{{if false}}{{.Size}}{{end}}{{.ID}}"),
    ("volume ls", 'table {{.Name}}\\t{{.Size}}\\t{{.Label "l"}}'),
    ("network ls", '{{.Name}} {{.Label "x"}} {{.Internal}}'),
]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Driver, Driver]]:
    """`docker` and `sampan` on a daemon that has some of everything."""
    with running_engine("sampand", Path(tmp_path_factory.mktemp("f"))) as engine:
        docker = Driver(engine, "docker")
        docker.load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]', "LABEL a=b")
        mounts = ["-v", "first:/v", "-v", "/tmp:/x:ro", "--mount", "type=volume,dst=/anonymous"]
        docker.ok("run", "-d", "--label", "a=b", "-p", "8081:80", *mounts, "busybox", "sleep", "99")
        docker.ok("run", "--name", "wrote", "busybox", "sh", "-c", "echo '<hello>' > /big")
        docker.ok("network", "create", "--label", "x=y", "net")
        docker.ok("volume", "create", "--label", "l=m", "second")
        yield docker, Driver(engine, "sampan")


CASES = [*((line, source) for line in LISTS for source in FORMATS), *MORE]


@pytest.mark.parametrize(("line", "source"), CASES)
def test_the_same(busy: tuple[Driver, Driver], line: str, source: str) -> None:
    argv = [*shlex.split(line), *(["--format", source] if source else [])]
    seen = _both(busy, argv)
    deadline = time.monotonic() + 10
    while seen[0] != seen[1] and time.monotonic() < deadline:
        seen = _both(busy, argv)  # "3 seconds ago" may have become 4 in between
    assert seen[1] == seen[0]


def _both(busy: tuple[Driver, Driver], argv: list[str]) -> list[Result]:
    return [driver(*argv) for driver in busy]
