"""Published ports, reached from everywhere they can be reached from, with docker and sampan."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, Engine, running_engine, wait_until
from tests.rootfs import busybox_tar

OUTSIDE, HOST = "192.0.2.1", "192.0.2.2"
WEB = "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR' > /w/cgi-bin/who; chmod +x /w/cgi-bin/who; httpd -f -p 80 -h /w"


def who(engine: Engine, address: str, port: int, *, outside: bool = False) -> str:
    """The address that the container sees of whoever asks; "" when it is not reached."""
    shown = f"[{address}]" if ":" in address else address
    url = f"http://{shown}:{port}/cgi-bin/who"
    done = subprocess.run(
        [*engine.host.enter(outside=outside), "curl", "-s", "--noproxy", "*", "-m", "5", url],
        capture_output=True,
        text=True,
    )
    return done.stdout.strip().strip("[]").removeprefix("::ffff:")


def serve(driver: Driver, name: str, *flags: str) -> None:
    driver.ok("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", WEB)


def from_container(driver: Driver, address: str, port: int, *command: str) -> str:
    """As `who`, asked by a container."""
    request = f"(printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n'; sleep 1) | nc -w2 {address} {port} | tail -n1"
    out = driver(*command, "sh", "-c", request).out.strip()
    return out.strip("[]").removeprefix("::ffff:")


def test_reached_from_everywhere(driver: Driver) -> None:
    """From outside with the client's own address, from the host, its loopback in both families, and
    from containers by the host's address; a port of 127.0.0.1 only from the host."""
    serve(driver, "web", "-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", f"{HOST}:8082:80")
    engine = driver.engine
    wait_until(lambda: who(engine, "127.0.0.1", 8080), "the server")
    assert who(engine, HOST, 8080, outside=True) == OUTSIDE
    assert who(engine, HOST, 8082, outside=True) == OUTSIDE
    assert who(engine, HOST, 8080)
    assert who(engine, "::1", 8080)
    assert who(engine, "127.0.0.1", 8081)
    assert not who(engine, HOST, 8081, outside=True)
    assert not who(engine, "127.0.0.1", 8082)
    assert from_container(driver, HOST, 8080, "run", "--rm", "busybox")
    assert from_container(driver, HOST, 8080, "exec", "web")
    driver.ok("network", "create", "other")
    try:
        assert from_container(driver, HOST, 8080, "run", "--rm", "--network", "other", "busybox")
    finally:
        driver.ok("network", "rm", "other")


def test_not_reached_past_the_host(driver: Driver) -> None:
    """W3: a neighbour with routes to the bridge and to 127.0.0.0/8 through the host gets nowhere that
    was not published; nor does a container of another network."""
    serve(driver, "web", "-p", "127.0.0.1:8081:80")
    engine = driver.engine
    wait_until(lambda: who(engine, "127.0.0.1", 8081), "the server")
    address = driver.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")
    script = f"ip route add 172.16.0.0/12 via {HOST}; ip link set lo down; ip route add 127.0.0.0/8 via {HOST}"
    outside = engine.host.enter(outside=True)
    if engine.kind == "dockerd":
        pytest.skip("20.10 lets a neighbour with a route in (moby #45610)")
    subprocess.run([*outside, "sh", "-c", script], check=True)
    try:
        assert not who(engine, address, 80, outside=True)
        assert not who(engine, "127.0.0.1", 8081, outside=True)
    finally:
        undo = f"ip route del 172.16.0.0/12; ip route del 127.0.0.0/8 via {HOST}; ip link set lo up"
        subprocess.run([*outside, "sh", "-c", undo], check=True)


def test_shown(driver: Driver) -> None:
    """`port`, `ps` and `inspect` say the same."""
    driver.ok(
        *[
            "run",
            "-d",
            "--name",
            "p1",
            "-p",
            "8080:80",
            "-p",
            "127.0.0.1:9000-9001:90-91",
            "-p",
            "1234:53/udp",
        ],
        *["--expose", "99", "busybox", "sleep", "1000"],
    )
    assert driver.ok("port", "p1").splitlines() == [
        "53/udp -> 0.0.0.0:1234",
        "53/udp -> [::]:1234",
        "80/tcp -> 0.0.0.0:8080",
        "80/tcp -> [::]:8080",
        "90/tcp -> 127.0.0.1:9000",
        "91/tcp -> 127.0.0.1:9001",
    ]
    assert driver.ok("ps", "--format", "{{.Ports}}") == (
        "99/tcp, 0.0.0.0:1234->53/udp, [::]:1234->53/udp, 0.0.0.0:8080->80/tcp, "
        "[::]:8080->80/tcp, 127.0.0.1:9000->90/tcp, 127.0.0.1:9001->91/tcp"
    )
    ports = driver.inspect("p1")["NetworkSettings"]["Ports"]
    assert ports["90/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "9000"}]
    assert ports["99/tcp"] is None
    missing = driver("port", "p1", "81")
    assert (missing.code, missing.err) == (1, "Error: No public port '81' published for p1\n")
    driver.ok("stop", "-t", "0", "p1")
    assert driver.ok("port", "p1") == ""


def test_random_ports(driver: Driver) -> None:
    """`-P` publishes what is exposed; a range of the host gives the first free one."""
    driver.ok(
        *[
            "run",
            "-d",
            "--name",
            "p1",
            "-P",
            "--expose",
            "7000-7001",
            "--expose",
            "70/udp",
            "busybox",
            "sleep",
            "1000",
        ]
    )
    lines = driver.ok("port", "p1").splitlines()
    assert [re.sub(r":\d+$", "", line) for line in lines] == [
        f"{port} -> {address}"
        for port in ("70/udp", "7000/tcp", "7001/tcp")
        for address in ("0.0.0.0", "[::]")
    ]
    for name, port in ("p2", 8090), ("p3", 8091):
        driver.ok("run", "-d", "--name", name, "-p", "8090-8092:80", "busybox", "sleep", "1000")
        assert driver.ok("port", name, "80").splitlines()[0] == f"0.0.0.0:{port}"


def test_conflicts(driver: Driver) -> None:
    """With another container, with a program of the host, with an address that is none of the host's;
    the container stays created, and nothing of it runs or is held."""
    driver.ok(*["run", "-d", "--name", "p1", "-p", "8080:80", "busybox", "sleep", "1000"])
    clash = driver(
        *["run", "-d", "--name", "p2", "-p", "8070:80", "-p", "8080:81", "busybox", "sleep", "1000"]
    )
    assert clash.code == 125
    assert "driver failed programming external connectivity on endpoint p2 (" in clash.err
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in clash.err
    assert (
        driver.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "p2") == "created 128"
    )
    driver.ok(*["run", "-d", "--name", "p3", "-p", "8070:80", "busybox", "sleep", "1000"])
    foreign = subprocess.Popen(
        [*driver.engine.host.enter(), "busybox", "nc", "-l", "-p", "8060"], stdout=-1
    )
    try:
        listening = [*driver.engine.host.enter(), "ss", "-Hltn", "sport", "=", "8060"]
        wait_until(lambda: subprocess.run(listening, capture_output=True).stdout, "the program")
        clash = driver(*["run", "-d", "--name", "p4", "-p", "8060:80", "busybox", "sleep", "1000"])
        assert clash.code == 125
        assert "address already in use" in clash.err
    finally:
        foreign.kill()
        foreign.wait()
        assert foreign.stdout
        foreign.stdout.close()
    driver.ok("start", "p4")
    clash = driver(
        *["run", "-d", "--name", "p5", "-p", "10.9.9.9:80:80", "busybox", "sleep", "1000"]
    )
    assert clash.code == 125
    assert "cannot assign requested address" in clash.err


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Driver]:
    """A sampand that may be killed."""
    with running_engine("sampand", tmp_path / "s") as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox")
        yield driver
        driver.close()


def test_without_the_daemon_and_after_it(private: Driver) -> None:
    """Ports go on while the daemon is dead, in both families, and are held; the next one knows them.
    A flush of the ruleset heals within a second, and a dead warden is replaced."""
    serve(private, "web", "-p", "8080:80")
    engine = private.engine
    wait_until(lambda: who(engine, "127.0.0.1", 8080), "the server")
    engine.kill()
    assert who(engine, HOST, 8080, outside=True) == OUTSIDE
    assert who(engine, "::1", 8080)
    engine.start()
    assert who(engine, HOST, 8080, outside=True) == OUTSIDE
    assert "already allocated" in private("run", "-p", "8080:80", "busybox", "true").err
    subprocess.run([*engine.host.enter(), "nft", "flush", "ruleset"], check=True)
    wait_until(lambda: who(engine, HOST, 8080, outside=True) == OUTSIDE, "the healed table")
    warden = warden_of(engine)
    assert warden
    subprocess.run(["kill", "-9", str(warden)], check=True)
    wait_until(lambda: warden_of(engine) not in (0, warden), "another warden")
    wait_until(lambda: who(engine, "::1", 8080), "the port of the new warden")
    private.ok("rm", "-f", "web")
    assert not who(engine, HOST, 8080, outside=True)
    assert not who(engine, "127.0.0.1", 8080)
    engine.stop()
    wait_until(lambda: not warden_of(engine), "the end of the warden")
    engine.start()


def warden_of(engine: Engine) -> int:
    """The process that listens at the engine's network.sock; 0: there is none."""
    path = str(engine.exec_root / "network.sock")
    inodes = {
        line.split()[6]
        for line in Path(f"/proc/{engine.host.pid}/net/unix").read_text().splitlines()
        if line.endswith(f" {path}") and line.split()[3] == "00010000"
    }
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text() != "sampan-network\n":
                continue
            targets = {str(fd.readlink()) for fd in (comm.parent / "fd").iterdir()}
        except OSError:
            continue
        if targets & {f"socket:[{inode}]" for inode in inodes}:
            return int(comm.parent.name)
    return 0


def test_a_range_of_ten_thousand(private: Driver) -> None:
    """One element of one map, one process, and every port answers."""
    serving = "while :; do nc -l -p 19999 -e echo hi; done"
    ports = "10000-19999:10000-19999"
    private.ok("run", "-d", "--name", "many", "-p", ports, "busybox", "sh", "-c", serving)
    rules = subprocess.run(
        [*private.engine.host.enter(), "nft", "list", "map", "inet", "sampan", "ranges4"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert rules.count(" : ") == 2  # of the type, and the one element
    assert "10000-19999" in rules
    assert len(private.ok("port", "many").splitlines()) == 20000
    curl = ["curl", "-s", "--http0.9", "-m", "5", f"http://{HOST}:19999/"]
    outside = [*private.engine.host.enter(outside=True), *curl]
    wait_until(lambda: subprocess.run(outside, capture_output=True).stdout == b"hi\n", "an answer")
    assert "already allocated" in private("run", "-p", "15000:1", "busybox", "true").err


def test_udp(private: Driver) -> None:
    """From outside; and a client that goes on sending reaches the container that was started anew,
    as it would not if the kernel kept its flow."""
    sender = (
        "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.bind(('', 4000))\nwhile True:\n  s.sendto(b'x', ('{HOST}', 1053))\n  time.sleep(0.05)\n"
    )
    outside = private.engine.host.enter(outside=True)
    client = subprocess.Popen([*outside, sys.executable, "-c", sender])
    try:
        for name in "u1", "u2":
            private.ok(
                *("run", "-d", "--name", name, "-p", "1053:53/udp", "busybox", "sleep", "1000")
            )
            # Nobody listens, so that the kernel counts: InDatagrams, NoPorts.
            counted = ("exec", name, "sh", "-c", "grep ^Udp: /proc/net/snmp | tail -n1")
            wait_until(
                lambda counted=counted: private.ok(*counted).split()[2] != "0",  # type: ignore[misc]
                f"a datagram in {name}",
            )
            # Another container gets the address, so that the flow does not fit by chance.
            private.ok("rm", "-f", name)
            private.ok("run", "-d", "busybox", "sleep", "1000")
    finally:
        client.kill()
        client.wait()
