"""Compose drives an engine: an application of several services, their networks and volumes, from `up` to `down -v`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.engines import Driver, Engine, wait_until

FILE = """\
version: "3.8"
services:
  web:
    image: busybox:latest
    command: sh -c "mkdir -p /www && echo hello > /www/index.html && exec httpd -f -p 80 -h /www"
    ports: ["8081:80"]
    networks: [front]
    healthcheck: {test: ["CMD", "wget", "-q", "-O-", "http://127.0.0.1/"], interval: 1s, retries: 20}
    volumes: ["data:/data"]
    environment: {COLOUR: blue}
    restart: unless-stopped
  client:
    image: busybox:latest
    command: sh -c "until wget -q -O- http://web/; do sleep 0.2; done; exec sleep 1000"
    networks: {front: {aliases: [visitor]}, back: {}}
    depends_on: [web]
    tmpfs: /scratch
    cap_drop: [ALL]
    ulimits: {nofile: 1000}
    stop_grace_period: 1s
networks:
  front: {}
  back: {internal: true}
volumes:
  data: {}
"""

Compose = Callable[..., str]


class Project(NamedTuple):
    compose: Compose
    driver: Driver


@pytest.fixture(params=["dockerd", "sampand"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """`docker-compose -p app`, in a folder with the file."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed (Debian package docker-compose)")
    engine: Engine = request.getfixturevalue(request.param)
    (tmp_path / "docker-compose.yml").write_text(FILE)
    driver = Driver(engine, "docker")
    # A virtual environment's variables would lead its Python to other packages.
    environment = {k: v for k, v in driver.environment().items() if not k.startswith("PYTHON")}

    def compose(*words: str) -> str:
        done = subprocess.run(
            [program, "-H", f"unix://{engine.socket}", "-p", "app", "--ansi", "never", *words],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield Project(compose, driver)
    compose("down", "-v", "-t", "1")
    driver.close()


def test_an_application(project: Project) -> None:
    """up, health, names, logs, exec, scale, restart, pause, run, and down, which leaves nothing."""
    compose, driver = project
    compose("up", "-d")
    wait_until(lambda: health(driver, "app_web_1") == "healthy", "web to be healthy", 30)
    wait_until(
        lambda: "hello" in compose("logs", "--no-color", "client"), "client to have read", 30
    )
    assert re.fullmatch(r"(0\.0\.0\.0|):8081\n", compose("port", "web", "80"))
    assert compose("exec", "-T", "web", "sh", "-c", "echo $COLOUR") == "blue\n"
    assert "Name:\tvisitor" in compose("exec", "-T", "web", "nslookup", "visitor")
    assert (
        compose("exec", "-T", "client", "sh", "-c", "ulimit -n; mount | grep -c /scratch")
        == "1000\n1\n"
    )
    assert "httpd -f" in compose("top", "web")

    compose("up", "-d", "--scale", "client=3")
    assert compose("ps", "-q", "client").count("\n") == 3
    compose("restart", "-t", "1", "client")
    compose("pause", "web")
    assert driver("inspect", "-f", "{{.State.Status}}", "app_web_1").out == "paused\n"
    compose("unpause", "web")
    assert compose("run", "--rm", "-T", "client", "echo", "hi") == "hi\n"
    unchanged = driver("inspect", "-f", "{{.Id}}", "app_web_1").out
    compose("up", "-d", "--scale", "client=1")
    assert driver("inspect", "-f", "{{.Id}}", "app_web_1").out == unchanged

    compose("down", "-v", "-t", "1")
    label = "label=com.docker.compose.project=app"
    for listing in ("ps", "-a"), ("network", "ls"), ("volume", "ls"):
        assert driver(*listing, "-q", "--filter", label).out == ""


def test_a_change_makes_anew(project: Project, tmp_path: Path) -> None:
    """A service whose settings changed is replaced and keeps its volume; the other one stays."""
    compose, driver = project
    compose("up", "-d")
    compose("exec", "-T", "web", "sh", "-c", "echo kept > /data/file")
    before = {name: identity(driver, name) for name in ("app_web_1", "app_client_1")}
    (tmp_path / "docker-compose.yml").write_text(FILE.replace("blue", "green"))
    compose("up", "-d", "--no-deps", "web")
    assert identity(driver, "app_web_1") != before["app_web_1"]
    assert identity(driver, "app_client_1") == before["app_client_1"]
    assert (
        compose("exec", "-T", "web", "sh", "-c", "echo $COLOUR; cat /data/file") == "green\nkept\n"
    )


def health(driver: Driver, name: str) -> str:
    return str(json.loads(driver("inspect", name).out)[0]["State"]["Health"]["Status"])


def identity(driver: Driver, name: str) -> str:
    return driver("inspect", "-f", "{{.Id}}", name).out.strip()
