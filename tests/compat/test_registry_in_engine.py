"""The well-known registry as a container of ours: published, restarted, pushed to and pulled from."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, running_engine, wait_until
from tests.rootfs import BUSYBOX, TarBuilder, busybox_tar
from tests.terminal import Terminal

BINARY = shutil.which("docker-registry")
CONFIG = """\
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}
http: {addr: ":5000"}
"""
SHELL = "/bin/sh"
KEPT = "/var/lib/registry/docker/registry/v2/repositories"
LIBRARIES = ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2")

pytestmark = pytest.mark.skipif(
    BINARY is None or not all(Path(path).exists() for path in LIBRARIES),
    reason="needs the Debian package docker-registry, on x86-64",
)


def registry_tar() -> bytes:
    """What the image `registry:2` has: the binary, what it needs of the C library, its configuration, a shell."""
    assert BINARY
    tar = TarBuilder()
    for name in ("bin", "etc", "tmp", "var", "var/lib", "var/lib/registry", "lib64", "lib"):
        tar.directory(name)
    tar.directory("lib/x86_64-linux-gnu")
    tar.add("bin/registry", Path(BINARY).read_bytes(), mode=0o755)
    tar.add(SHELL.lstrip("/"), BUSYBOX.read_bytes(), mode=0o755)
    for path in LIBRARIES:
        tar.add(path.lstrip("/"), Path(path).read_bytes(), mode=0o755)
    tar.add("etc/config.yml", CONFIG.encode(), mode=0o644)
    return tar.finish()


@pytest.fixture(params=["dockerd", "sampand"])
def private(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    if shutil.which(request.param) is None and request.param == "dockerd":
        pytest.skip("the reference engine is not installed (Debian package docker.io)")
    with running_engine(request.param, tmp_path / request.param[0]) as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox", 'CMD ["sh"]')
        changes = ('ENTRYPOINT ["/bin/registry"]', 'CMD ["serve", "/etc/config.yml"]')
        volume = ("VOLUME /var/lib/registry", "EXPOSE 5000")
        driver.load_image(registry_tar(), "registry:2", *changes, *volume)
        yield driver
        driver.close()


def answers(driver: Driver) -> bool:
    curl = [
        "curl",
        "-s",
        "-m",
        "2",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "http://localhost:5000/v2/",
    ]
    done = subprocess.run([*driver.engine.host.enter(), *curl], capture_output=True, text=True)
    return done.stdout == "200"


def looks_inside(driver: Driver, path: str) -> None:
    """As a person does, with `exec -ti registry sh`."""
    argv = driver.argv("exec", "-ti", "registry", SHELL)
    with Terminal(argv, driver.environment()) as shell:
        shell.expect(r"[#$] ")
        shell.type(f"test -d {path} && echo it is t''here\r")
        shell.expect("it is there")
        shell.type("exit 7\r")
        assert shell.wait() == 7


def test_the_registry(private: Driver) -> None:
    """Tag, push, remove, pull and run, with docker and with sampan; it comes back by its policy after its
    process is killed, and is there after the daemon was."""
    private.ok(
        *["run", "-d", "--restart=always", "-p", "5000:5000", "--name", "registry", "registry:2"]
    )
    wait_until(lambda: answers(private), "the registry")
    ours = private.engine.kind == "sampand"
    for client in ("docker", "sampan") if ours else ("docker",):
        driver = Driver(private.engine, client)
        name = f"localhost:5000/{client}/busybox"
        driver.ok("tag", "busybox", name)
        driver.ok("push", name)
        driver.ok("rmi", name)
        driver.ok("pull", name)
        assert driver.ok("run", "--rm", name, "echo", "hello") == "hello"
        looks_inside(driver, f"{KEPT}/{client}/busybox")
    if ours:  # containers live on without the daemon
        private.engine.kill()
        assert answers(private)
        private.engine.start()
        assert answers(private)
    pid = private.inspect("registry")["State"]["Pid"]
    subprocess.run(["kill", "-9", str(pid)], check=True)
    wait_until(lambda: private.inspect("registry")["State"]["Pid"] not in (0, pid), "a restart")
    wait_until(lambda: answers(private), "the registry again")
    private.ok("rmi", "localhost:5000/docker/busybox")
    private.ok("pull", "localhost:5000/docker/busybox")
    private.ok("stop", "-t", "1", "registry")
    assert not answers(private)
    private.ok("rm", "-v", "registry")
    assert private.ok("volume", "ls", "-q") == ""
