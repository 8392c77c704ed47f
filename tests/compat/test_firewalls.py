"""Beside other firewalls of Debian's, on the host of a sampand: ufw, which drops what is forwarded, firewalld, and the
old iptables."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.engines import Driver, Engine, Host, running_engine, wait_until
from tests.rootfs import busybox_tar

OUTSIDE, HOST = "192.0.2.1", "192.0.2.2"
SERVE = "mkdir -p /w; echo hello > /w/index.html; httpd -f -p 80 -h /w"


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


@pytest.mark.skipif(shutil.which("ufw") is None, reason="not installed (Debian package ufw)")
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


@pytest.fixture
def web(host: Host, tmp_path: Path) -> Iterator[Callable[[str], Driver]]:
    """An engine in a publish mode, with a network and a web server at port 8080."""
    with ExitStack() as stack:

        def start(mode: str) -> Driver:
            arguments = [f"--publish-mode={mode}"]
            engine = stack.enter_context(
                running_engine("sampand", tmp_path / "s", *arguments, host=host)
            )
            driver = Driver(engine, "docker")
            driver.load_image(busybox_tar(), "busybox")
            driver.ok("network", "create", "n1")
            driver.ok(
                *["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c"], SERVE
            )
            return driver

        yield start


@contextmanager
def firewalld(host: Host, folder: Path) -> Iterator[Callable[..., str]]:
    """The real one on a bus of its own, with files of its own; and its `firewall-cmd`."""
    folder.mkdir()
    subprocess.run(["cp", "-a", "/etc/firewalld", folder / "etc"], check=True)
    bus = f"unix:path={folder}/bus"
    script = f"""
        mount --bind {folder}/etc /etc/firewalld
        mkdir -p /run/firewalld; mount -t tmpfs tmpfs /run/firewalld
        dbus-daemon --system --nofork --nopidfile --nosyslog --address={bus} &
        until [ -S {folder}/bus ]; do sleep 0.05; done
        exec /usr/bin/python3 /usr/sbin/firewalld --nofork --nopid
    """
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": bus}
    command = [*host.enter(), "unshare", "-m", "--propagation", "private", "sh", "-c", script]

    def tell(*words: str) -> str:
        done = subprocess.run(
            [*host.enter(), "/usr/bin/python3", "/usr/bin/firewall-cmd", *words],
            capture_output=True,
            text=True,
            env=environment,
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        wait_until(lambda: tell("--state") == "running", "firewalld", 30)
        yield tell
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@pytest.mark.skipif(
    None in (shutil.which("firewalld"), shutil.which("dbus-daemon")),
    reason="not installed (Debian packages firewalld, dbus-daemon)",
)
@pytest.mark.parametrize("mode", ["docker", "host"])
def test_firewalld(mode: str, web: Callable[[str], Driver], host: Host, tmp_path: Path) -> None:
    """Its zone `public` refuses what is forwarded and what comes in: containers get out all the same, also after it
    reloads; in mode `docker` their ports are open, in mode `host` the zone opens and closes them."""
    driver = web(mode)
    wait_until(lambda: fetched(driver.engine), "the server")
    with firewalld(host, tmp_path / "firewalld") as tell:
        wait_until(lambda: gets_out(driver), "a way out")
        assert gets_out(driver, "--network", "n1")
        wait_until(lambda: fetched(driver.engine) == (mode == "docker"), "the port's state")
        assert fetched(driver.engine, outside=False)
        assert tell("--add-port=8080/tcp") == "success"
        wait_until(lambda: fetched(driver.engine), "the opened port")
        assert (
            tell("--reload") == "success"
        )  # which forgets what was added, and writes all rules anew
        wait_until(lambda: fetched(driver.engine) == (mode == "docker"), "the closed port")
        wait_until(lambda: gets_out(driver, "--network", "n1"), "a way out after the reload")
        assert (
            "firewalld"
            in subprocess.run(
                [*host.enter(), "nft", "list", "tables"], capture_output=True, text=True, check=True
            ).stdout
        )


@pytest.mark.skipif(shutil.which("iptables-legacy") is None, reason="Debian package iptables")
@pytest.mark.parametrize("mode", ["docker", "host"])
def test_the_old_iptables(mode: str, web: Callable[[str], Driver], host: Host) -> None:
    """Its policy drops whatever is forwarded, answers too, and what comes in but for one port: as with ufw. What it
    does cannot be read: it is said that it depends."""
    answers = "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT"
    for words in ("-P FORWARD DROP", "-P INPUT DROP", "-A INPUT -i lo -j ACCEPT", answers):
        subprocess.run([*host.enter(), "iptables-legacy", *words.split()], check=True)
    driver = web(mode)
    wait_until(lambda: fetched(driver.engine, outside=False), "the server")
    assert gets_out(driver)
    assert gets_out(driver, "--network", "n1")
    assert fetched(driver.engine) == (mode == "docker")
    opened = "-A INPUT -p tcp --dport 8080 -j ACCEPT"
    subprocess.run([*host.enter(), "iptables-legacy", *opened.split()], check=True)
    assert fetched(driver.engine)
    rows = driver.engine.request("GET", "/sampan/ports?exposed=1")[1]
    assert rows[0]["Reach"] == ("everywhere" if mode == "docker" else "depends")
    listed = subprocess.run(
        [*host.enter(), "iptables-legacy", "-S"], capture_output=True, text=True, check=True
    )
    assert listed.stdout.splitlines() == [
        "-P INPUT DROP",
        "-P FORWARD DROP",
        "-P OUTPUT ACCEPT",
        "-A INPUT -i lo -j ACCEPT",
        answers,
        opened.replace("-p tcp", "-p tcp -m tcp"),
    ]
