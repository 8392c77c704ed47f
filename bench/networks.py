"""`python -m bench.networks`: what networks cost beside dockerd, over the API of both, so that no client is measured.

Starts are `POST …/start` of a container that was created before; traffic goes from another network namespace,
over a wire, to a port that the host publishes; names are asked in a container's namespace.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.engines import Engine

from bench.bench import Row, interleaved, show
from bench.peers import peers

ADDRESS = "192.0.2.2"  # of the host, seen from outside
MEGABYTES = 300
NETWORKS_AT_ONCE = 4

FETCH = """
import http.client, statistics, sys, time
host, port, path, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
spent, total = [], 0
for _ in range(count):
    begin = time.perf_counter()
    client = http.client.HTTPConnection(host, port, timeout=30)
    client.request("GET", path)
    answer = client.getresponse()
    while data := answer.read(1 << 20):
        total += len(data)
    spent.append(time.perf_counter() - begin)
print(statistics.median(spent), total / sum(spent))
"""

ASK = """
import socket, struct, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.11", 53)); sock.settimeout(2)
name = b"".join(bytes((len(x),)) + x.encode() for x in sys.argv[1].split(".")) + b"\\0"
question = struct.pack(">HHHHH", 0x100, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1)
count, window, sent, got = int(sys.argv[2]), 32, 0, 0
begin = time.perf_counter()
while got < count:
    while sent < count and sent - got < window:
        sock.send(struct.pack(">H", sent & 0xFFFF) + question); sent += 1
    answer = sock.recv(512)
    assert answer[3] & 15 == 0 and answer[7] == 1, answer
    got += 1
print(count / (time.perf_counter() - begin))
"""


def call(engine: Engine, method: str, path: str, body: object = None) -> Any:
    status, answer = engine.request(method, path, body, timeout=120)
    assert status < 400, (method, path, answer)
    return answer


def create(engine: Engine, name: str, network: str = "bridge", **more: Any) -> None:
    host = {"NetworkMode": network, **more.pop("host", {})}
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": host, **more}
    call(engine, "POST", f"/containers/create?name={name}", body)


def remove(engine: Engine, name: str) -> None:
    call(engine, "DELETE", f"/containers/{name}?force=1&v=1")


def published(first: int, count: int) -> dict[str, Any]:
    numbers = range(first, first + count)
    return {
        "ExposedPorts": {f"{number}/tcp": {} for number in numbers},
        "host": {"PortBindings": {f"{n}/tcp": [{"HostPort": str(n)}] for n in numbers}},
    }


def started(engine: Engine, network: str = "bridge", **more: Any) -> float:
    """Milliseconds of a start."""
    create(engine, "started", network, **copy.deepcopy(more))
    begin = time.perf_counter()
    call(engine, "POST", "/containers/started/start")
    spent = (time.perf_counter() - begin) * 1000
    remove(engine, "started")
    time.sleep(0.15)  # what is prepared for the next one is prepared after the answer
    return spent


def rate(engine: Engine, networks: int, containers: int) -> float:
    """Containers a second, in networks of their own, created, started and removed again."""

    def one(number: int) -> None:
        network = f"net{number}"
        call(engine, "POST", "/networks/create", {"Name": network, "CheckDuplicate": True})
        names = [f"net{number}-{index}" for index in range(containers)]
        for name in names:
            create(engine, name, network)
            call(engine, "POST", f"/containers/{name}/start")
        for name in names:
            remove(engine, name)
        call(engine, "DELETE", f"/networks/{network}")

    begin = time.perf_counter()
    with ThreadPoolExecutor(NETWORKS_AT_ONCE) as pool:
        list(pool.map(one, range(networks)))
    return networks * containers / (time.perf_counter() - begin)


def serve(engine: Engine) -> None:
    script = (
        f"mkdir /w; echo hello > /w/small; dd if=/dev/zero of=/w/large bs=1M count={MEGABYTES};"
        "exec httpd -f -p 80 -h /w"
    )
    body = {"ExposedPorts": {"80/tcp": {}}, "Cmd": ["sh", "-c", script]}
    create(engine, "web", host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}, **body)
    call(engine, "POST", "/containers/web/start")
    deadline = time.monotonic() + 60
    while True:
        try:
            fetch(engine, "/small", 1)
            return
        except AssertionError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def fetch(engine: Engine, path: str, count: int) -> tuple[float, float]:
    """Median milliseconds of a request, and megabytes a second."""
    command = [*engine.host.enter(outside=True), sys.executable, "-c", FETCH]
    done = subprocess.run(
        [*command, ADDRESS, "8080", path, str(count)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    median, speed = map(float, done.stdout.split())
    return median * 1000, speed / 1e6


def names(engine: Engine, count: int) -> float:
    """Answers a second; every question must be answered."""
    pid = call(engine, "GET", "/containers/asker/json")["State"]["Pid"]
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", ASK]
    done = subprocess.run([*command, "asker", str(count)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def ticks(engine: Engine) -> float:
    """Processor milliseconds of the daemon in two idle seconds."""
    assert engine.process is not None
    path = Path(f"/proc/{engine.process.pid}/stat")

    def used() -> int:
        words = path.read_text().rpartition(")")[2].split()
        return int(words[11]) + int(words[12])

    before = used()
    time.sleep(2)
    return (used() - before) * 10.0


def measure(engines: dict[str, Engine], rounds: int, networks: int) -> list[Row]:
    def row(
        title: str, function: Callable[[Engine], float], budget: str, count: int = rounds
    ) -> Row:
        measures = {
            name: (lambda engine=engine: function(engine)) for name, engine in engines.items()
        }
        return title, interleaved(measures, count), budget

    for engine in engines.values():
        call(engine, "POST", "/networks/create", {"Name": "users", "CheckDuplicate": True})
        create(engine, "asker", "users")
        call(engine, "POST", "/containers/asker/start")
        serve(engine)
    return [
        *starts(engines, rounds),
        row(
            "request through a published port, ms",
            lambda e: fetch(e, "/small", 100)[0],
            "≤ dockerd",
        ),
        row("the same, MB/s", lambda e: fetch(e, "/large", 2)[1], "≥ dockerd", 3),
        row("names a second", lambda e: names(e, 5000), "≥ 5000", 3),
        row("daemon idle for 2 s, processor ms", ticks, "0", 3),
        row(
            f"{networks} networks × 5 containers, containers a second",
            lambda e: rate(e, networks, 5),
            "",
            1,
        ),
    ]


def starts(engines: dict[str, Engine], rounds: int) -> list[Row]:
    """All in turns, because they are compared with each other."""
    kinds: dict[str, tuple[str, dict[str, Any], str]] = {
        "start, network none, ms": ("none", {}, ""),
        "start, default bridge, ms": ("bridge", {}, "none + 10"),
        "start, three published ports, ms": ("bridge", published(9001, 3), "bridge + 10"),
        "start, user's network, ms": ("users", {}, "none + 10"),
    }
    measures: dict[str, Callable[[], float]] = {}
    for title, (network, more, _) in kinds.items():
        for name, engine in engines.items():
            measures[f"{title}|{name}"] = functools.partial(started, engine, network, **more)
    medians = interleaved(measures, rounds)
    return [
        (title, {name: medians[f"{title}|{name}"] for name in engines}, budget)
        for title, (_, _, budget) in kinds.items()
    ]


def many_ports(engine: Engine) -> Row:
    """Ours alone: the reference takes minutes and a process a port."""
    spent = [started(engine, **published(20000, 10000)) for _ in range(3)]
    return "start, 10,000 published ports, ms", {"sampan": statistics.median(spent)}, "≤ 1000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--networks", type=int, default=20, help="100: only with patience")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    with peers() as found:
        engines = {
            peer.name: peer.engine
            for peer in found
            if peer.engine is not None and peer.name != "docker → sampand"
        }
        rows = measure(engines, options.rounds, options.networks)
        rows.append(many_ports(engines["sampan"]))
        show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
