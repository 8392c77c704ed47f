"""The Docker SDK for Python drives containers of sampand: what programs do that never run `docker`."""

from __future__ import annotations

import gc
import io
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engines import Engine

# The SDK leaves closing its streams to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
docker: Any = pytest.importorskip("docker", reason="the Docker SDK for Python is not installed")


@pytest.fixture
def client(sampand: Engine) -> Iterator[Any]:
    found = docker.DockerClient(base_url=f"unix://{sampand.socket}", timeout=30)
    yield found
    found.close()
    gc.collect()
    sampand.remove_containers()


def test_a_life(client: Any) -> None:
    """run, list, reload, exec, logs, top, stats, diff, update, rename, pause, stop, wait, remove."""
    assert client.ping()
    assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
    box = client.containers.run(
        "busybox",
        ["sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 0.1; done"],
        detach=True,
        name="c1",
        labels={"a": "b"},
        environment={"X": "y"},
        mem_limit="64m",
    )
    assert [each.name for each in client.containers.list(filters={"label": "a=b"})] == ["c1"]
    assert next(box.logs(stream=True)) == b"up\n"
    assert box.exec_run(["sh", "-c", "echo $X; echo err >&2; exit 3"], demux=True) == (
        3,
        (b"y\n", b"err\n"),
    )
    assert box.top()["Titles"][1] == "PID"
    assert box.stats(stream=False)["memory_stats"]["limit"] == 64 << 20
    assert next(box.stats(decode=True))["name"] == "/c1"
    box.exec_run(["touch", "/new"])
    assert {"Path": "/new", "Kind": 1} in box.diff()
    box.update(mem_limit="32m", memswap_limit="64m")
    box.rename("c2")
    box.pause()
    box.reload()
    assert (box.name, box.status) == ("c2", "paused")
    box.unpause()
    box.stop()
    assert box.wait()["StatusCode"] == 4
    box.restart()
    box.kill()
    box.remove(v=True)
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("c2")


def test_archives(client: Any) -> None:
    """put_archive and get_archive."""
    box = client.containers.create("busybox", ["true"])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("f")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    assert box.put_archive("/tmp", packed.getvalue())
    chunks, stat = box.get_archive("/tmp/f")
    assert (stat["name"], stat["size"]) == ("f", 3)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        content = archive.extractfile("f")
        assert content is not None
        assert content.read() == b"abc"
    with pytest.raises(docker.errors.NotFound):
        box.get_archive("/nosuch")


def test_attach_and_events(client: Any) -> None:
    """An attached socket both ways; events of it; prune."""
    events = client.events(decode=True, filters={"type": "container"})
    box = client.containers.create("busybox", ["cat"], stdin_open=True, name="c1")
    stream = box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    box.start()
    stream._sock.sendall(b"over\n")
    assert stream.read(13)[8:] == b"over\n"
    stream._sock.close()
    stream.close()
    box.stop(timeout=0)
    assert [next(events)["Action"] for _ in range(3)] == ["create", "attach", "start"]
    events.close()
    pruned = client.containers.prune(filters={"label!": "keep"})
    assert pruned["ContainersDeleted"] == [box.id]


def test_failures(client: Any) -> None:
    """The exceptions that programs catch."""
    with pytest.raises(docker.errors.ImageNotFound):
        client.containers.create("nosuch:latest")
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("nosuch")
    client.containers.create("busybox", name="c1")
    with pytest.raises(docker.errors.APIError) as caught:
        client.containers.create("busybox", name="c1")
    assert caught.value.status_code == 409
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run("busybox", ["sh", "-c", "exit 9"], name="c2")
    assert failed.value.exit_status == 9
