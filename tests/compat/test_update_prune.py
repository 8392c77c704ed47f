"""update and container prune, with both clients on both engines."""

from __future__ import annotations

import pytest

from tests.engines import Driver, Engine


def test_update(driver: Driver) -> None:
    """Limits of what runs change in its cgroup; the restart policy too; several at once, one unknown."""
    driver.ok("run", "-d", "--name", "c1", "-m", "64m", "busybox", "sleep", "1000")
    driver.ok("create", "--name", "c2", "-m", "64m", "busybox")
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    assert driver.ok("exec", "c1", "sh", "-c", limit) == str(64 << 20)
    driver.ok("update", "-m", "32m", "--restart", "on-failure:3", "c1", "c2")
    assert driver.ok("exec", "c1", "sh", "-c", limit) == str(32 << 20)
    for name in ("c1", "c2"):
        shown = "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"
        assert driver.ok("inspect", "-f", shown, name) == f"{32 << 20} on-failure 3"
    some = driver("update", "--cpu-shares", "3", "nosuch", "c2")
    assert (some.code, some.out) == (1, "c2\n")
    assert "No such container: nosuch" in some.err
    driver.ok("restart", "-t", "0", "c1")
    assert driver.ok("exec", "c1", "sh", "-c", limit) == str(32 << 20)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["-m", "1m"], "Minimum memory limit allowed is 6MB"),
        (["-m", "1g"], "update the memoryswap at the same time"),
        (["--cpuset-cpus", "999"], "Requested CPUs are not available"),
        (["--cpu-quota", "5000"], "CPU Quota cannot be updated as NanoCPUs has already been set"),
        ([], "you must provide one or more flags"),
    ],
)
def test_update_refused(driver: Driver, flags: list[str], text: str) -> None:
    driver.ok("create", "--name", "c1", "-m", "64m", "--cpus", "1", "busybox")
    refused = driver("update", *flags, "c1")
    assert (refused.code, text in refused.err) == (1, True), refused


def test_prune(driver: Driver) -> None:
    """Stopped containers go, by label and by age; nothing is removed without a yes."""
    driver.ok("run", "-d", "--name", "up", "busybox", "sleep", "1000")
    driver.ok("run", "--name", "wrote", "busybox", "sh", "-c", "head -c 5000 /dev/zero > /f")
    labelled = driver.ok("create", "--name", "labelled", "--label", "a=b", "busybox")
    assert "[y/N]" in driver.ok("container", "prune", input="n\n")
    assert len(driver.ok("ps", "-aq").split()) == 3
    out = driver.ok("container", "prune", "-f", "--filter", "label=a")
    assert out == f"Deleted Containers:\n{labelled}\n\nTotal reclaimed space: 0B"
    assert (
        driver.ok("container", "prune", "-f", "--filter", "until=1h") == "Total reclaimed space: 0B"
    )
    out = driver.ok("container", "prune", input="y\n")
    assert out.endswith("Total reclaimed space: 5kB")
    assert driver.ok("ps", "-a", "--format", "{{.Names}}") == "up"


def test_bodies_are_checked(sampand: Engine) -> None:
    """Wrong types, huge and negative values, no body: 400, with the field's name where there is one."""
    Driver(sampand, "docker").ok("create", "--name", "c1", "busybox")
    try:
        for body, text in (
            (b"", "EOF"),
            (b'{"Memory":"x"}', "Memory"),
            (b'{"Memory":99999999999999999999999}', "out of range"),
            (b'{"Memory":-1}', "Minimum memory limit"),
            (b'{"CpuShares":-1}', "shares"),
            (b'{"RestartPolicy":{"Name":"no","MaximumRetryCount":3}}', "maximum retry count"),
            (b"[]", "json"),
        ):
            status, answer = sampand.request("POST", "/containers/c1/update", body)
            assert (status, text.lower() in answer["message"].lower()) == (400, True), answer
        assert sampand.request("POST", "/containers/nosuch/update", b"{}")[0] == 404
        assert sampand.request("POST", "/containers/c1/update", b"{}") == (200, {"Warnings": None})
    finally:
        sampand.remove_containers()
