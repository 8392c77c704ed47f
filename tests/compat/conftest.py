"""Live engines for the whole session, and drivers over them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, Engine, running_engine
from tests.rootfs import busybox_tar

DRIVERS = ["docker-dockerd", "docker-sampand", "sampan-sampand"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/compat" in str(item.path) and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root: it starts containers"))


def _engine(kind: str, factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # Short paths: Unix sockets end at 108 bytes, and pytest's own folders are long.
    root = Path(factory.mktemp(kind[0]))
    with running_engine(kind, root) as engine:
        Driver(engine, "docker").load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
        yield engine


@pytest.fixture(scope="session")
def sampand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    yield from _engine("sampand", tmp_path_factory)


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if shutil.which("dockerd") is None:
        pytest.skip("the reference engine is not installed (Debian package docker.io)")
    yield from _engine("dockerd", tmp_path_factory)


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Every client on every engine; whatever containers a test leaves are removed after it."""
    client, kind = request.param.split("-")
    engine: Engine = request.getfixturevalue(kind)
    driver = Driver(engine, client)
    yield driver
    driver.close()


@pytest.fixture(params=["docker", "sampan"])
def ours(request: pytest.FixtureRequest, sampand: Engine) -> Iterator[Driver]:
    """Both clients on sampand only, for what the reference does not do."""
    driver = Driver(sampand, request.param)
    yield driver
    driver.close()
