"""Whom a container with an egress policy reaches, by packets of every kind, beside one without a policy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.compat.test_egress import BAD, GOOD, GOOD6, HOST, engine, internet, run
from tests.compat.test_egress import warden_pid as warden_pid
from tests.engines import Driver, Engine, wait_until

__all__ = ["engine", "internet"]  # fixtures

# Answers every datagram and connection at port 7777 with its name.
ECHO = """
import socket, sys, threading
name = sys.argv[1].encode()
def serve(sock):
    while True:
        client = sock.accept()[0]; client.sendall(name); client.close()
for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    tcp, udp = socket.socket(family), socket.socket(family, socket.SOCK_DGRAM)
    for sock in (tcp, udp):
        if family == socket.AF_INET6: sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, 7777))
    tcp.listen()
    def answer(udp=udp):
        while True:
            data, client = udp.recvfrom(99); udp.sendto(name, client)
    threading.Thread(target=serve, args=(tcp,), daemon=True).start()
    threading.Thread(target=answer, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""

# Who answered at each target, by either protocol: the targets are the arguments, the answers come as JSON.
PROBE = """
import json, socket, sys, threading
found = {target: set() for target in sys.argv[1:]}
def ask(target, kind):
    place = socket.getaddrinfo(target, 7777, type=kind)[0]
    sock = socket.socket(place[0], kind); sock.settimeout(2)
    if kind == socket.SOCK_DGRAM: sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    try:
        if kind == socket.SOCK_STREAM:
            sock.connect(place[4]); found[target].add(sock.recv(99).decode())
        else:
            sock.sendto(b"hello", place[4])
            while True: found[target].add(sock.recv(99).decode())
    except OSError: pass
threads = [threading.Thread(target=ask, args=(target, kind)) for target in found
           for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({target: sorted(who) for target, who in found.items()}))
"""


@pytest.fixture(autouse=True)
def unfiltered(engine: Engine) -> None:
    """Where the firewall sees what is only bridged, the tests would not find out whether the link judges."""
    for family in ("iptables", "ip6tables"):
        switch = f"/proc/sys/net/bridge/bridge-nf-call-{family}"
        command = [*engine.host.enter(), "sh", "-c", f"! test -e {switch} || echo 0 > {switch}"]
        subprocess.run(command, check=True)


def inside(driver: Driver, name: str) -> list[str]:
    return ["nsenter", "-t", str(driver.inspect(name)["State"]["Pid"]), "-n"]


@contextmanager
def echo(enter: list[str], name: str) -> Iterator[None]:
    command = [*enter, sys.executable, "-c", ECHO, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield
        finally:
            server.kill()


def probe(driver: Driver, name: str, targets: list[str]) -> dict[str, list[str]]:
    command = [*inside(driver, name), sys.executable, "-c", PROBE, *targets]
    found = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    answers: dict[str, list[str]] = json.loads(found)
    return answers


def addresses(enter: list[str], link: str) -> list[str]:
    shown = subprocess.run(
        [*enter, "ip", "-j", "addr", "show", "dev", link], check=True, capture_output=True
    ).stdout
    found = [item["local"] for item in json.loads(shown)[0]["addr_info"]]
    return [f"{text}%eth0" if text.startswith("fe80") else text for text in found]


NETWORKS = [
    ("default", []),
    ("dual", ["--ipv6"]),
    ("six", ["--ipv6", "--ipv4=false"]),
]


@pytest.mark.parametrize(("network", "flags"), NETWORKS)
def test_who_answers(network: str, flags: list[str], engine: Engine) -> None:
    """With `none` nobody but neighbours in a user's network does, by either family: not the outside, the host
    (by any of its addresses, by broadcast or multicast), strangers on the default bridge, or other networks.
    The control beside it reaches all but the last."""
    driver = Driver(engine, "docker")
    where: list[str] = []
    if network != "default":
        driver.ok("network", "create", *flags, network)
        where = ["--network", network]
    driver.ok("network", "create", "--ipv6", "other")
    run(driver, "c1", "none", *where)
    for name, place in (("free", where), ("near", where), ("far", ["--network", "other"])):
        driver.ok("run", "-d", "--name", name, *place, "busybox", "sleep", "1000")
    if network == "default":
        link = "sampan0"
    else:
        link = f"br-{driver.ok('network', 'inspect', '-f', '{{.Id}}', network)[:12]}"
    near, far = (addresses(inside(driver, name), "eth0") for name in ("near", "far"))
    far = [text for text in far if not text.startswith("fe80")]
    host = [*addresses(engine.host.enter(), link), "fd99::2"]
    everybody = ["ff02::1%eth0"]
    if "--ipv4=false" not in flags:
        host.append(HOST)
        everybody += ["224.0.0.1", f"{near[0].rpartition('.')[0].rpartition('.')[0]}.255.255"]
    outside = [GOOD6, GOOD][: 1 if "--ipv4=false" in flags else 2]
    targets = [*near, *far, *host, *everybody, *outside]
    with ExitStack() as stack:
        for enter, name in (
            (engine.host.enter(), "host"),
            (engine.host.enter(outside=True), "outside"),
            (inside(driver, "near"), "near"),
            (inside(driver, "far"), "far"),
        ):
            stack.enter_context(echo(enter, name))
        groups = ((near, "near"), (host, "host"), (outside, "outside"))
        wanted = {target: {name} for group, name in groups for target in group}
        wanted |= {target: {"host"} for target in everybody}

        def all_answer() -> bool:
            """A busy machine may be late with one of them."""
            free = probe(driver, "free", targets)
            return all(who.issubset(free[target]) for target, who in wanted.items())

        wait_until(all_answer, "everybody to answer the control", 60)
        held = probe(driver, "c1", targets)
    for target in [*far, *host, *outside]:
        assert held[target] == [], (target, held)
    friends = {"near"} if network != "default" else set()
    for target in everybody:
        assert friends.issuperset(held[target]), (target, held)
    for target in near:
        answers = sorted(friends) if not target.startswith("fe80") else []
        assert held[target] == answers, (target, held)


def test_a_neighbour_is_no_router(engine: Engine) -> None:
    """One that forwards for others, with its own address, is no way out; the control's way it is."""
    driver = Driver(engine, "docker")
    driver.ok("network", "create", "n1")
    run(driver, "c1", "none", "--network", "n1")
    for name in ("free", "router"):
        driver.ok("run", "-d", "--name", name, "--network", "n1", "busybox", "sleep", "1000")
    way = driver.inspect("router")["NetworkSettings"]["Networks"]["n1"]["IPAddress"]
    rules = (
        "add table ip t; add chain ip t p { type nat hook postrouting priority 100; }; "
        "add rule ip t p masquerade"
    )
    script = f"sysctl -qw net.ipv4.ip_forward=1; nft '{rules}'"
    subprocess.run([*inside(driver, "router"), "sh", "-ec", script], check=True)
    for name in ("c1", "free"):
        route = ["ip", "route", "add", f"{BAD}/32", "via", way]
        subprocess.run([*inside(driver, name), *route], check=True)
    with echo(engine.host.enter(outside=True), "outside"):
        assert probe(driver, "free", [BAD]) == {BAD: ["outside"]}
        assert probe(driver, "c1", [BAD]) == {BAD: []}


# An ICMPv6 neighbour solicitation (or advertisement) with this target, hop limit 255, from the address.
DISCOVER = """
import socket, struct, sys
kind, source, to, target = sys.argv[1:5]
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.bind((source, 0))
s.sendto(struct.pack("!BBHI", int(kind), 0, 0, 0x20000000 if kind == "136" else 0)
         + socket.inet_pton(socket.AF_INET6, target) + b"secret01", (to, 0))
"""


def test_discovery_is_no_way_out(engine: Engine) -> None:
    """A solicitation that is for an address of the outside does not get there, and nobody advertises another's
    address; the control's do both."""
    driver = Driver(engine, "docker")
    driver.ok("network", "create", "--ipv6", "n1")
    run(driver, "c1", "none", "--network", "n1")
    for name in ("free", "near"):
        driver.ok("run", "-d", "--name", name, "--network", "n1", "busybox", "sleep", "1000")
    own = {
        name: driver.inspect(name)["NetworkSettings"]["Networks"]["n1"]["GlobalIPv6Address"]
        for name in ("c1", "free", "near")
    }
    listen = (
        "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6); "
        "print('ready', flush=True)\n"
        "while True:\n d = s.recv(999)\n if b'secret' in d: print(d[0], flush=True)"
    )
    where = (
        (engine.host.enter(outside=True), "135", GOOD6, GOOD6),
        (inside(driver, "near"), "136", own["near"], GOOD6),
    )
    for enter, kind, to, target in where:
        command = [*enter, sys.executable, "-c", listen]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline() == b"ready\n"
            for name in ("c1", "free"):  # the control last: what c1 sent would have come before it
                send = [sys.executable, "-c", DISCOVER, kind, own[name], to, target]
                subprocess.run([*inside(driver, name), *send], check=True)
            assert listener.stdout.readline() == f"{kind}\n".encode()
            listener.kill()
            assert listener.stdout.read() == b""


def table(engine: Engine) -> str:
    return subprocess.run(
        [*engine.host.enter(), "nft", "list", "ruleset"], capture_output=True, text=True, check=True
    ).stdout


def test_what_the_dead_leave(engine: Engine) -> None:
    """Daemon and warden die, and a container meanwhile: the others stay held, and when the daemon is back so
    they are, and what was held for the dead one is gone."""
    driver = Driver(engine, "docker")
    driver.ok("network", "create", "n1")
    run(driver, "c1", "none")
    run(driver, "c2", "none", "--network", "n1")
    ids = {name: driver.inspect(name)["Id"][:12] for name in ("c1", "c2")}
    pid = driver.inspect("c2")["State"]["Pid"]
    enter = inside(driver, "c1")
    curl = [*enter, "curl", "-s", "-o", "/dev/null", "-m", "5", f"http://{BAD}/"]
    warden = warden_pid(engine)
    engine.kill()
    subprocess.run(["kill", "-9", warden, str(pid)], check=True)
    wait_until(lambda: not Path(f"/proc/{warden}").exists(), "the warden's end")
    assert subprocess.run(curl).returncode == 7
    assert f"c_{ids['c2']}" in table(engine)
    engine.start()
    assert subprocess.run(curl).returncode == 7
    wait_until(lambda: f"c_{ids['c2']}" not in table(engine), "the end of what was left")
    assert f"c_{ids['c1']}" in table(engine)
    # The warden alone, and the last of its containers before the next one has heard of any.
    run(driver, "c3", "none", "--network", "n1")
    subprocess.run(["kill", "-9", warden_pid(engine)], check=True)
    driver.ok("rm", "-f", "c3")
    assert subprocess.run(curl).returncode == 7
    driver.ok("rm", "-f", "c1", "c2")
    wait_until(lambda: "egress" not in table(engine), "the end of the tables")
