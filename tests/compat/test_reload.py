"""SIGHUP: daemon.json is read again; what the reference engine reads again is read again here, and told alike."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Driver, Engine, running_engine, wait_until

FULL = {
    "debug": True,
    "labels": ["c=é<"],
    "registry-mirrors": ["http://127.0.0.1:5001"],
    "insecure-registries": ["10.1.0.0/16", "reg.example:5000"],
    "max-concurrent-downloads": 7,
    "max-concurrent-uploads": 2,
    "max-download-attempts": 3,
    "live-restore": True,
    "shutdown-timeout": 4,
    "runtimes": {"r2": {"path": "/usr/bin/runc"}},
    "default-runtime": "r2",
    "features": {"x": True, "buildkit": False},
}
TOLD = {
    "debug": "true",
    "default-ipc-mode": "private",
    "default-runtime": "r2",
    "default-shm-size": "67108864",
    "features": "map[buildkit:false x:true]",
    "insecure-registries": '["10.1.0.0/16","reg.example:5000"]',
    "labels": '["c=é\\u003c"]',
    "live-restore": "true",
    "max-concurrent-downloads": "7",
    "max-concurrent-uploads": "2",
    "max-download-attempts": "3",
    "registry-mirrors": '["http://127.0.0.1:5001"]',
    "shutdown-timeout": "4",
}
KEPT = {  # of TOLD, once the file is empty
    **TOLD,
    "features": "map[]",
    "max-concurrent-downloads": "3",
    "max-concurrent-uploads": "5",
    "max-download-attempts": "5",
}
BAD = [
    ('{"debug":', "unable to configure the Docker daemon with file"),
    ('{"nonsense": 1}', "the following directives don't match any configuration option: nonsense"),
    ('{"labels": ["a"]}', "bad attribute format: a"),
    ('{"max-concurrent-downloads": -1}', "invalid max concurrent downloads: -1"),
    ('{"registry-mirrors": ["ftp://x"]}', 'invalid mirror: unsupported scheme "ftp" in "ftp://x"'),
    ('{"default-runtime": "none"}', "specified default runtime 'none' does not exist"),
]


class Reloaded:
    """An engine with a daemon.json of its own."""

    def __init__(self, engine: Engine, file: Path) -> None:
        self.engine, self.file = engine, file

    def hang_up(self, text: str) -> None:
        assert self.engine.process is not None
        self.file.write_text(text)
        self.engine.process.send_signal(signal.SIGHUP)

    def told(self, since: float) -> dict[str, str] | None:
        """The attributes of the last `reload` since then."""
        path = f"/events?since={since:.3f}&until={time.time():.3f}&type=daemon"
        answer = self.engine.request("GET", path)[1]
        lines = [answer] if isinstance(answer, dict) else map(json.loads, answer.splitlines())
        found = [line["Actor"]["Attributes"] for line in lines if line["Action"] == "reload"]
        return found[-1] if found else None

    def reload(self, text: str) -> dict[str, str]:
        begin = time.time()
        self.hang_up(text)
        found: dict[str, str] = wait_until(lambda: self.told(begin), "the event")
        return found

    def is_refused(self, text: str, complaint: str) -> None:
        length = len(self.engine.log)
        self.hang_up(text)
        said = complaint.replace('"', r"\"") if self.engine.kind == "dockerd" else complaint
        wait_until(lambda: said in self.engine.log[length:], complaint)

    def info(self, *names: str) -> list[Any]:
        answer = self.engine.request("GET", "/info")[1]
        return [answer[name] for name in names]


@pytest.fixture(params=["dockerd", "sampand"])
def reloaded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reloaded]:
    if request.param == "dockerd":
        request.getfixturevalue("dockerd")  # skips where it is not installed
    file = tmp_path / "daemon.json"
    file.write_text("{}")
    with running_engine(request.param, tmp_path / "e", f"--config-file={file}") as engine:
        yield Reloaded(engine, file)


def test_what_is_read_again(reloaded: Reloaded) -> None:
    """Every key counts and is told; one that is taken out of the file stays, but for limits and features; a bad
    file is said in the log, tells of nothing and changes nothing."""
    told = reloaded.reload(json.dumps(FULL))
    assert {key: told.get(key) for key in TOLD} == TOLD
    assert "r2:/usr/bin/runc" in told["runtimes"].split()
    info = reloaded.info("Debug", "Labels", "DefaultRuntime", "LiveRestoreEnabled")
    assert info == [True, ["c=é<"], "r2", True]
    registries, runtimes = reloaded.info("RegistryConfig", "Runtimes")
    assert "10.1.0.0/16" in registries["InsecureRegistryCIDRs"]
    assert registries["IndexConfigs"]["reg.example:5000"]["Secure"] is False
    assert registries["Mirrors"] == ["http://127.0.0.1:5001/"]
    assert runtimes["r2"]["path"] == "/usr/bin/runc"
    begin, before = time.time(), reloaded.info("Labels", "RegistryConfig", "Runtimes")
    for text, complaint in BAD:
        reloaded.is_refused(text, complaint)
    assert reloaded.told(begin) is None
    assert reloaded.info("Labels", "RegistryConfig", "Runtimes") == before
    told = reloaded.reload("{}")
    if reloaded.engine.kind == "dockerd":
        # 20.10 keeps a mirror that it has refused.
        told["registry-mirrors"] = KEPT["registry-mirrors"]
    assert {key: told.get(key) for key in KEPT} == KEPT


def test_a_mirror_is_asked_at_once(reloaded: Reloaded) -> None:
    """Without a restart a pull goes to the new mirror, and no more once it is out of the file."""
    driver = Driver(reloaded.engine, "docker")
    folder = reloaded.file.parent
    argv = [sys.executable, "-u", "-m", "http.server", "5001", "--bind", "127.0.0.1"]
    log = folder / "mirror.log"
    with open(log, "wb") as out:
        server = subprocess.Popen(
            [*reloaded.engine.host.enter(), *argv], stdout=out, stderr=out, cwd=folder
        )
    try:
        wait_until(lambda: "Serving HTTP" in log.read_text(), "the mirror")
        reloaded.reload('{"registry-mirrors": ["http://127.0.0.1:5001"]}')
        driver("pull", "nosuch")
        assert "GET /v2/" in log.read_text()
        length = len(log.read_text())
        reloaded.reload('{"registry-mirrors": []}')
        driver("pull", "nosuch")
        assert log.read_text()[length:] == ""
    finally:
        server.kill()
        server.wait()
