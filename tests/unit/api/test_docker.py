"""The real `docker` command against the API with the fake engine: negotiation, tables, streams."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from sampan.errors import NotFound
from sampan.spec.container import ContainerConfig
from tests.fakes.distribution import FakeDistribution
from tests.fakes.engine import IMAGE, identifier, record, running
from tests.unit.api.conftest import Api, eventually

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command")


class Docker:
    def __init__(self, api: Api, home: Path) -> None:
        self.api = api
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DOCKER_CONFIG": str(home),
            "DOCKER_HOST": f"unix://{api.path}",
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            "docker", *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environment
        )

    async def __call__(self, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
        process = await self.start(*arguments)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out, err.decode()


@pytest.fixture
def docker(api: Api, tmp_path: Path) -> Docker:
    api.engine.add(running("a"), record("b"), running("t", config=ContainerConfig(tty=True)))
    return Docker(api, tmp_path)


async def test_it_negotiates_and_shows_versions(docker: Docker) -> None:
    """The client's newest version is one of ours."""
    code, out, err = await docker("version", "--format", "{{json .}}")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert shown["Server"]["ApiVersion"] == "1.55"
    assert shown["Server"]["Version"] == "9.9"
    assert "downgraded" not in json.dumps(shown)


async def test_its_tables(docker: Docker) -> None:
    """ps, images, history, inspect."""
    _, out, _ = await docker(
        "ps", "-a", "--format", "{{.Names}}|{{.Status}}|{{.Image}}|{{.Command}}"
    )
    assert out.decode().splitlines() == [
        'a|Up 3 seconds|busybox|"sh"',
        'b|Created|busybox|"sh"',
        't|Up 3 seconds|busybox|"sh"',
    ]
    _, out, _ = await docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    assert out.decode().split() == ["busybox:latest", IMAGE.id]
    _, out, _ = await docker("inspect", "-f", "{{.State.Pid}} {{.NetworkSettings.IPAddress}}", "a")
    assert out == b"4711 172.30.99.2\n"
    code, _, err = await docker("inspect", "--type", "container", "nope")
    assert (code, "No such container: nope" in err) == (1, True)
    code, _, err = await docker("info", "--format", "{{.ID}}")
    assert code == 0, err


async def test_exec_half_closes(docker: Docker) -> None:
    """Input from a pipe; output that comes after its end is not lost; the exit code is the exec's."""
    code, out, err = await docker("exec", "-i", "a", "cat", stdin=b"hello\0\xff\n")
    assert (code, out, err) == (3, b"hello\0\xff\n<end>", "")


async def test_attach_is_binary_safe(docker: Docker, api: Api) -> None:
    """50 MB there and back through frames; then it asks for the exit code."""
    api.engine.add(running("i", config=ContainerConfig(open_stdin=True)))
    data = os.urandom(1 << 20) * 50
    attached = asyncio.create_task(docker("attach", "--sig-proxy=false", "i", stdin=data))
    await eventually(lambda: api.engine.streams_ended == 1 and api.engine.waiters)
    api.engine.exit(identifier("i"), 5)
    code, out, err = await attached
    assert (code, err) == (5, "")
    assert out == data + b"<end>"


async def test_run_from_create_to_exit(docker: Docker, api: Api) -> None:
    """create, attach, wait, start: in whatever order, the exit code arrives and the output is whole."""
    process = await docker.start("run", "-i", "--name", "r", "busybox", "cat")
    await eventually(lambda: any(verb == "start" for verb, _ in api.engine.calls))
    order = [verb for verb, _ in api.engine.calls if verb in ("create", "attach", "wait", "start")]
    assert order == ["create", "attach", "wait", "start"]
    assert process.stdin is not None
    process.stdin.write(b"input")
    process.stdin.close()
    await eventually(lambda: api.engine.streams_ended == 1)
    api.engine.exit(identifier("r"), 7)
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (7, b"input<end>", b"WARNING: a warning\n")


async def test_logs_and_events(docker: Docker, api: Api) -> None:
    """stdout and stderr come apart again; events are read as they come."""
    api.engine.log = [(1, b"out\n"), (2, b"err\n")]
    code, out, err = await docker("logs", "a")
    assert (code, out, err) == (0, b"out\n", "err\n")
    process = await docker.start("events", "--format", "{{.Action}}")
    await eventually(lambda: api.engine.events.listeners)
    api.engine.events.emit("container", "start", "c", {"name": "n"})
    assert process.stdout is not None
    assert await process.stdout.readline() == b"start\n"
    process.terminate()
    await process.communicate()
    await eventually(lambda: api.engine.events.listeners == 0)


async def test_import_load_and_rmi(docker: Docker, api: Api) -> None:
    """Uploads from stdin."""
    code, out, err = await docker("import", "-c", "CMD sh", "-", "x:y", stdin=b"t" * 200_000)
    assert (code, out.decode().strip(), err) == (0, IMAGE.id, "")
    assert api.engine.uploaded == b"t" * 200_000
    code, out, _ = await docker("load", stdin=b"archive")
    assert (code, out) == (0, b"Loading layer\nLoaded image: busybox:latest\n")
    code, out, _ = await docker("rmi", "busybox")
    assert (code, out.decode()) == (0, f"Untagged: busybox:latest\nDeleted: {IMAGE.id}\n")


async def test_pull_push_search_and_login(docker: Docker) -> None:
    """The stock command understands what it is told."""
    registry = docker.api.engine.services.distribution
    assert isinstance(registry, FakeDistribution)
    registry.messages = [{"status": "Pulling from library/alpine", "id": "latest"}]
    code, out, _ = await docker("pull", "alpine")
    assert code == 0
    assert "latest: Pulling from library/alpine\n" in out.decode()
    registry.failure = NotFound("manifest for alpine:latest not found")
    code, _, err = await docker("pull", "alpine")
    assert (code, "manifest for alpine:latest not found" in err) == (1, True)
    registry.failure = None
    assert (await docker("push", "reg.test/a"))[0] == 0
    code, out, _ = await docker("search", "busy")
    assert out.decode().splitlines()[1].split() == ["busybox", "Base", "3", "[OK]"]
    assert [name for name, _ in registry.calls] == ["pull", "pull", "push", "search"]
