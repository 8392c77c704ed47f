"""events: what each verb tells, filters, since and until, and nothing lost when the daemon is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.engines import Driver, Engine, running_engine, wait_until
from tests.rootfs import busybox_tar


def seen(driver: Driver, since: float, *filters: str) -> list[str]:
    """`type action` of events since then."""
    flags = [word for each in filters for word in ("--filter", each)]
    out = driver.ok("events", "--since", f"{since:.9f}", "--until", f"{time.time() + 0.2:.9f}",
                    "--format", "{{.Type}} {{.Action}}", *flags)  # fmt: skip
    return [line.strip() for line in out.splitlines()]


def test_a_life(driver: Driver) -> None:
    """Every verb tells what dockerd tells, in its order."""
    begin = time.time()
    driver.ok(
        "run",
        "-d",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 3' TERM; while :; do sleep 0.1; done",
    )
    driver.ok("exec", "c1", "true")
    driver.ok("top", "c1")
    driver.ok("cp", "c1:/etc/passwd", "-")
    driver.ok("cp", "-", "c1:/tmp", input=bytes(1024))
    driver.ok("pause", "c1")
    driver.ok("unpause", "c1")
    driver.ok("update", "--cpu-shares", "5", "c1")
    driver.ok("rename", "c1", "c2")
    driver.ok("stop", "c2")
    driver.ok("rm", "c2")
    found = [line for line in seen(driver, begin) if not line.startswith("network")]
    assert found == [
        *("container create", "container start"),
        *("container exec_create: true", "container exec_start: true", "container exec_die"),
        *("container top", "container archive-path", "container extract-to-dir"),
        *("container pause", "container unpause", "container update", "container rename"),
        *("container kill", "container die", "container stop", "container destroy"),
    ]


def test_filters(driver: Driver) -> None:
    """By type, event, container, image, label, volume; several values of one are alternatives."""
    begin = time.time()
    driver.ok("run", "--name", "c1", "--label", "a=b", "busybox", "true")
    driver.ok("run", "--name", "c2", "-v", "ev2:/v", "busybox", "true")
    driver.ok("rm", "-f", "c1", "c2")
    assert driver.engine.request("DELETE", "/volumes/ev2")[0] == 204
    life = ["container create", "container start", "container die", "container destroy"]

    def without_attach(*filters: str) -> list[str]:
        return [line for line in seen(driver, begin, *filters) if line != "container attach"]

    assert without_attach("container=c1") == life
    assert without_attach("label=a=b") == life
    assert without_attach("label=a", "event=die", "event=start") == [
        "container start",
        "container die",
    ]
    assert without_attach("image=busybox", "container=c2") == life
    assert seen(driver, begin, "volume=ev2") == [
        *("volume create", "volume mount", "volume unmount", "volume destroy"),
    ]
    assert {line.split()[0] for line in seen(driver, begin, "type=network")} == {"network"}
    assert seen(driver, begin, "container=nosuch") == []
    assert seen(driver, begin, "type=volume", "container=c1") == []


def test_unknown_filter(ours: Driver) -> None:
    """Refused, as newer ones do."""
    refused = ours("events", "--since", "0", "--until", "1", "--filter", "foo=x")
    assert (refused.code, "invalid filter 'foo'" in refused.err) == (1, True)


def test_reload(sampand: Engine) -> None:
    """SIGHUP is told, by the daemon about itself."""
    driver = Driver(sampand, "docker")
    begin = time.time()
    assert sampand.process is not None
    sampand.process.send_signal(signal.SIGHUP)
    wait_until(lambda: seen(driver, begin, "type=daemon") == ["daemon reload"], "the event")


def test_nothing_is_lost_at_a_kill(tmp_path: Path) -> None:
    """Events of before a SIGKILL of the daemon, and of what ended while it was away, in one sequence."""
    with running_engine("sampand", tmp_path / "s") as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox:latest")
        begin = time.time()
        driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
        pid = driver.inspect("c1")["State"]["Pid"]
        engine.kill()
        os.kill(pid, signal.SIGKILL)
        engine.start()
        driver.ok("run", "--name", "c2", "busybox", "true")
        assert [line for line in seen(driver, begin, "type=container") if "attach" not in line] == [
            *("container create", "container start", "container die"),
            *("container create", "container start", "container die"),
        ]
        lines: list[dict[str, Any]] = [
            json.loads(line)
            for line in (engine.data_root / "events/current").read_text().splitlines()
        ]
        assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
        assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
        driver.close()
