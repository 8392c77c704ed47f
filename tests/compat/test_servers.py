"""Servers that people run: Debian's nginx and redis in containers, reached by port and by name."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.engines import Driver, Engine, wait_until
from tests.rootfs import debian_tar

HOST = "192.0.2.2"  # of the engine, as its neighbour sees it
pytestmark = pytest.mark.timeout(900)  # the first run builds the image
PACKAGES = ("nginx-light", "redis-server")
NGINX = ("nginx", "-g", "daemon off; error_log /dev/stderr; master_process on;")
REDIS = ("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data")
SITE = (
    "mkdir -p /var/www/html && echo served > /var/www/html/index.html && "
    "ln -sf /dev/stdout /var/log/nginx/access.log"
)


@pytest.fixture(scope="module", params=["dockerd", "sampand"])
def loaded(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that has the image `servers`."""
    engine: Engine = request.getfixturevalue(request.param)
    driver = Driver(engine, "docker")
    with debian_tar(*PACKAGES).open("rb") as tar:
        done = subprocess.run(
            driver.argv("import", "-", "servers"),
            stdin=tar,
            env=driver.environment(),
            capture_output=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    yield engine
    driver("rmi", "-f", "servers", "site")


@pytest.fixture
def docker(loaded: Engine) -> Iterator[Driver]:
    driver = Driver(loaded, "docker")
    driver.ok("network", "create", "shop")
    yield driver
    driver.close()
    driver.ok("network", "rm", "shop")


def fetch(driver: Driver, url: str, *, outside: bool) -> str:
    curl = [*driver.engine.host.enter(outside=outside), "curl", "-s", "-m", "5", url]
    return subprocess.run(curl, capture_output=True, text=True).stdout


def test_nginx(docker: Driver) -> None:
    """An image made by commit, on a published port from the host, from a neighbour and by name; its log lines,
    a reload by signal, and a stop that is graceful."""
    docker.ok("run", "--name", "made", "servers", "sh", "-c", SITE)
    docker.ok("commit", "-c", "EXPOSE 80", "made", "site")
    flags = ["--network", "shop", "-p", "8085:80", "--stop-signal", "QUIT"]
    docker.ok("run", "-d", "--name", "web", *flags, "site", *NGINX)
    wait_until(
        lambda: fetch(docker, "http://localhost:8085/", outside=False) == "served\n", "nginx"
    )
    assert fetch(docker, f"http://{HOST}:8085/", outside=True) == "served\n"
    # By its name, and by the host's address from a container of another network (hairpin).
    for network, url in (("shop", "http://web/"), ("bridge", f"http://{HOST}:8085/")):
        wget = ["run", "--rm", "--network", network, "busybox", "wget", "-qO-", url]
        assert docker.ok(*wget) == "served"
    wait_until(lambda: docker.ok("logs", "web").count("GET / HTTP/1.1") >= 4, "the access log")
    docker.ok("exec", "web", "sh", "-c", "echo changed > /var/www/html/index.html")
    docker.ok("kill", "-s", "HUP", "web")
    assert fetch(docker, f"http://{HOST}:8085/", outside=True) == "changed\n"
    docker.ok("stop", "-t", "20", "web")
    assert docker.inspect("web")["State"]["ExitCode"] == 0
    assert fetch(docker, f"http://{HOST}:8085/", outside=True) == ""


def test_redis(docker: Driver) -> None:
    """A client in another container finds it by name; what it holds survives in a volume."""

    def redis(*words: str) -> str:
        client = ["run", "--rm", "--network", "shop", "servers", "redis-cli", "-h", "cache"]
        return docker.ok(*client, *words)

    start = ["run", "-d", "--name", "store", "--network", "shop", "--network-alias", "cache"]
    start += ["-v", "kept:/data"]
    docker.ok(*start, "servers", *REDIS)
    wait_until(lambda: "Ready to accept" in docker.ok("logs", "store"), "redis")
    assert redis("SET", "colour", "blue") == "OK"
    docker.ok("stop", "-t", "20", "store")
    assert docker.inspect("store")["State"]["ExitCode"] == 0
    docker.ok("rm", "store")
    docker.ok(*start, "servers", *REDIS)
    wait_until(lambda: "Ready to accept" in docker.ok("logs", "store"), "redis again")
    assert redis("GET", "colour") == "blue"
    docker.ok("rm", "-f", "store")
    docker.ok("volume", "rm", "kept")
