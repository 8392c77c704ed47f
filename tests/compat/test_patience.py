"""The live daemon with clients who stall, leave, and come again by the thousand: it answers on, and keeps nothing of them."""

from __future__ import annotations

import os
import socket
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from tests.engines import Driver, Engine, wait_until

HALF = b"GET /containers/json HTTP/1.1\r\nHost: d\r\nX-Slow: "
STALLED = 1000


def connect(engine: Engine, data: bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(15)
    sock.connect(str(engine.socket))
    sock.sendall(data)
    return sock


def descriptors(engine: Engine) -> int:
    assert engine.process is not None
    return len(os.listdir(f"/proc/{engine.process.pid}/fd"))


def resident(engine: Engine) -> int:
    """MiB"""
    assert engine.process is not None
    status = Path(f"/proc/{engine.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) >> 10


def ping(engine: Engine) -> float:
    """Milliseconds, of a new connection."""
    begin = time.perf_counter()
    with connect(engine, b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n") as sock:
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    return (time.perf_counter() - begin) * 1000


def test_a_thousand_half_sent_heads(sampand: Engine) -> None:
    """A7: others are answered as ever, within 50 ms, and nothing is left when the slow ones are gone."""
    ping(sampand)
    before = descriptors(sampand)
    with ExitStack() as stack:
        for _ in range(STALLED):
            stack.enter_context(connect(sampand, HALF))
        wait_until(lambda: descriptors(sampand) >= STALLED, "all of them to be accepted")
        assert statistics.median(ping(sampand) for _ in range(50)) <= 50
    wait_until(lambda: descriptors(sampand) <= before, "them to be let go")


def test_clients_that_come_and_go(sampand: Engine) -> None:
    """A9: attach, logs and wait that are left, resize and inspect of an exec, by the thousand: descriptors as before,
    memory within 4 MiB."""
    driver = Driver(sampand, "docker")
    driver.ok("run", "-dit", "--name", "c1", "busybox", "sh")
    try:
        created = sampand.request("POST", "/containers/c1/exec", {"Cmd": ["true"]})[1]
        requests = [
            (b"POST", b"/containers/c1/attach?stream=1&stdout=1", b"HTTP/1.1 101"),
            (b"GET", b"/containers/c1/logs?stdout=1&follow=1", b"HTTP/1.1 200"),
            (b"POST", b"/containers/c1/wait", b"HTTP/1.1 200"),
            (b"GET", b"/events", b"HTTP/1.1 200"),
            (b"POST", b"/containers/c1/resize?h=20&w=80", b"HTTP/1.1 200"),
            (b"GET", f"/exec/{created['Id']}/json".encode(), b"HTTP/1.1 200"),
        ]

        def once() -> None:
            for method, target, status in requests:
                upgrade = b"Connection: Upgrade\r\nUpgrade: tcp\r\n" if b"attach" in target else b""
                head = method + b" " + target + b" HTTP/1.1\r\nHost: d\r\n" + upgrade + b"\r\n"
                with connect(sampand, head) as sock:
                    assert sock.recv(1000).startswith(status), target

        for _ in range(100):
            once()
        files, memory = descriptors(sampand), resident(sampand)
        deadline = time.monotonic() + 20
        rounds = 0
        while rounds < 10_000 // len(requests) and time.monotonic() < deadline:
            once()
            rounds += 1
        assert rounds >= 100
        wait_until(lambda: descriptors(sampand) <= files, "descriptors as before")
        assert resident(sampand) <= memory + 4
    finally:
        driver.close()
