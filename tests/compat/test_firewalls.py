"""Beside other firewalls: Debian's ufw, which drops what is forwarded, on the host of a sampand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, Engine, Host, running_engine, wait_until
from tests.rootfs import busybox_tar

OUTSIDE, HOST = "192.0.2.1", "192.0.2.2"
SERVE = "mkdir -p /w; echo hello > /w/index.html; httpd -f -p 80 -h /w"

pytestmark = pytest.mark.skipif(
    shutil.which("ufw") is None, reason="ufw is not installed (Debian package ufw)"
)


class Ufw:
    """The real one, with files of its own: they are mounted over the machine's for each call."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host = host
        self._folder = folder
        self._places = {"etc": "/etc/ufw", "lib": "/lib/ufw", "default": "/etc/default/ufw"}
        folder.mkdir()
        for name, place in self._places.items():
            subprocess.run(["cp", "-a", place, folder / name], check=True)

    def __call__(self, *words: str) -> None:
        mounts = [f"mount --bind {self._folder}/{n} {p}" for n, p in self._places.items()]
        script = "; ".join(["set -e", *mounts, f"exec ufw {' '.join(words)}"])
        subprocess.run(
            [*self._host.enter(), "unshare", "-m", "sh", "-c", script],
            check=True,
            input=b"y\n",
            capture_output=True,
        )


@pytest.fixture
def host() -> Iterator[Host]:
    """With a web server outside."""
    host = Host()
    outside = host.enter(outside=True)
    server = subprocess.Popen(
        [*outside, sys.executable, "-m", "http.server", "80", "-d", "/proc/self"], stderr=-3
    )
    yield host
    server.kill()
    server.wait()
    host.close()


def fetched(engine: Engine, *, outside: bool = True) -> bool:
    """Whether the published port answers."""
    address = HOST if outside else "127.0.0.1"
    curl = ["curl", "-s", "-m", "2", f"http://{address}:8080/"]
    done = subprocess.run([*engine.host.enter(outside=outside), *curl], capture_output=True)
    return done.stdout == b"hello\n"


def gets_out(driver: Driver, *flags: str) -> bool:
    command = ("busybox", "nc", "-w", "2", OUTSIDE, "80", "-e", "true")
    return driver("run", "--rm", *flags, *command).code == 0


@pytest.mark.parametrize("mode", ["docker", "host"])
def test_ufw(mode: str, host: Host, tmp_path: Path) -> None:
    """Containers get out whether ufw comes before or after the daemon and while the daemon is dead. In
    mode `docker` their ports are open as with Docker; in mode `host` ufw opens and closes them."""
    ufw = Ufw(host, tmp_path / "ufw")
    with running_engine("sampand", tmp_path / "s", f"--publish-mode={mode}", host=host) as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox")
        driver.ok("network", "create", "n1")
        driver.ok("network", "create", "--internal", "inner")
        driver.ok(*["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c"], SERVE)
        wait_until(lambda: fetched(engine), "the server")
        ufw("--force", "enable")
        wait_until(lambda: gets_out(driver), "a way out")
        assert gets_out(driver, "--network", "n1")
        assert not gets_out(driver, "--network", "inner")
        assert fetched(engine) == (mode == "docker")
        assert fetched(engine, outside=False)
        engine.kill()
        assert fetched(engine) == (mode == "docker")
        engine.start()
        assert gets_out(driver)
        ufw("allow", "8080")
        wait_until(lambda: fetched(engine), "the opened port")
        assert gets_out(driver)
        ufw("disable")
        wait_until(lambda: gets_out(driver) and fetched(engine), "a way without ufw")
        driver.ok("rm", "-f", "web")
        driver.ok("network", "rm", "n1", "inner")
