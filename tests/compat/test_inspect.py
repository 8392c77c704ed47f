"""inspect, field by field: the same keys, types and values as dockerd's, but for what differs by nature."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.engines import Driver, Engine

# Paths, ids, times, and names of this engine's own parts.
BY_NATURE = re.compile(
    r"""\.(Id|Created|Image|ResolvConfPath|HostnamePath|HostsPath|LogPath|Driver|SizeRootFs
    |GraphDriver\..*|State\.(Pid|StartedAt|FinishedAt)|Config\.Hostname|HostConfig\.Runtime
    |NetworkSettings\.(SandboxID|SandboxKey|EndpointID|Gateway|IPAddress|MacAddress|IPPrefixLen)
    |NetworkSettings\.Networks\..*\.(NetworkID|EndpointID|Gateway|IPAddress|MacAddress|IPPrefixLen)
    |Mounts\.\d+\.Source|HostConfig\.MaskedPaths|State\.Health.*)""",
    re.VERBOSE,
)
# dockerd 20.10 kept the word; newer ones, and this one, say what it means.
NETWORK_MODE = ".HostConfig.NetworkMode"
RICH = [
    *(
        "--expose",
        "8080",
        "-v",
        "/usr/share:/m:ro",
        "-v",
        "insp1:/v",
        "--tmpfs",
        "/t",
        "--label",
        "a=b",
    ),
    *("-e", "X=y", "-m", "64m", "--cpus", "1", "--restart", "on-failure:2", "--health-cmd", "true"),
    *("--ulimit", "nofile=500:600", "--cap-add", "NET_ADMIN", "--dns", "1.1.1.1", "--init"),
    *("--add-host", "h:1.2.3.4", "-w", "/tmp", "--stop-signal", "INT", "--stop-timeout", "3"),
    *("--shm-size", "1m", "--sysctl", "net.ipv4.ip_forward=0", "--pids-limit", "50", "-u", "1:1"),
]
CASES = {
    "plain": (["busybox", "sleep", "1000"], True),
    "rich": ([*RICH, "busybox", "sleep", "1000"], True),
    "created": (["--entrypoint", "sh", "--read-only", "--network", "none", "busybox", "-c", "x"], False),
    "open": (["--privileged", "--pid", "host", "--network", "host", "--mount", "type=volume,src=insp2,dst=/w", "busybox", "sh"], False),
    "terminal": (["-i", "-t", "--rm", "busybox", "sh"], False),
}  # fmt: skip


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by their paths; lists whose order is nobody's are sorted."""
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}").items()}
    if path.endswith((".Binds", ".Env")) and value:
        return {path: sorted(value)}
    if path == ".Mounts" and value:
        ordered = sorted(value, key=lambda mount: mount["Destination"])
        return {
            k: v for n, item in enumerate(ordered) for k, v in flat(item, f".Mounts.{n}").items()
        }
    return {path: value}


@pytest.mark.parametrize("case", CASES)
def test_inspect(dockerd: Engine, sampand: Engine, case: str) -> None:
    """At the reference's own version of the API."""
    arguments, starts = CASES[case]
    found = []
    for engine in (dockerd, sampand):
        driver = Driver(engine, "docker")
        try:
            verb = ["run", "-d"] if starts else ["create"]
            driver.ok(*verb, "--name", "c1", *arguments)
            status, body = engine.request("GET", "/v1.41/containers/c1/json?size=1")
            assert status == 200
            found.append(flat(body))
        finally:
            driver.close()
    theirs, ours = found
    nature = [path for path in theirs.keys() | ours.keys() if BY_NATURE.fullmatch(path)]
    for path in nature:
        if path in theirs and path in ours:
            assert type(theirs.pop(path)) is type(ours.pop(path)), path
        theirs.pop(path, None)
        ours.pop(path, None)
    if theirs[NETWORK_MODE] == "default":
        theirs[NETWORK_MODE] = "bridge"
    assert ours == theirs
