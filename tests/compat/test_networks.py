"""Networks of users: made, shown, connected, removed; names in them; with docker and sampan."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Driver, Engine, running_engine, wait_until
from tests.rootfs import busybox_tar

OUTSIDE = "192.0.2.1"
OPERATIONS = 1000


@pytest.fixture
def driver(driver: Driver) -> Iterator[Driver]:
    """Whatever networks a test leaves are removed after its containers."""
    yield driver
    driver.engine.remove_containers()
    kept = ("bridge", "host", "none")
    names = [network["Name"] for network in driver.engine.request("GET", "/networks")[1]]
    for name in sorted(set(names) - set(kept), key="conf".__eq__):
        driver.engine.request("DELETE", f"/networks/{name}")


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Driver]:
    """A sampand that may be killed."""
    with running_engine("sampand", tmp_path / "s") as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox")
        yield driver
        driver.close()


def run(driver: Driver, name: str, *flags: str) -> None:
    driver.ok("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")


def routes(driver: Driver, name: str) -> set[str]:
    """Destinations and interfaces; the default route as `default IF`."""
    lines = driver.ok("exec", name, "ip", "route").splitlines()
    return {re.sub(r"^(\S+).* dev (\S+).*", r"\1 \2", line.strip()) for line in lines}


def reaches(driver: Driver, name: str, target: str) -> bool:
    return driver("exec", name, "ping", "-c1", "-W2", target).code == 0


def test_create_and_inspect(driver: Driver) -> None:
    """All that was asked for is shown; a subnet that was not asked for avoids the others."""
    identifier = driver.ok(
        *[
            "network",
            "create",
            "--subnet",
            "10.55.0.0/24",
            "--gateway",
            "10.55.0.9",
            "--ip-range",
            "10.55.0.128/25",
        ],
        *[
            "--aux-address",
            "x=10.55.0.130",
            "--label",
            "a=b",
            "--opt",
            "com.docker.network.driver.mtu=1400",
            "n1",
        ],
    )
    assert re.fullmatch("[0-9a-f]{64}", identifier)
    shown = json.loads(driver.ok("network", "inspect", "n1"))[0]
    assert shown["IPAM"]["Config"] == [
        {
            "Subnet": "10.55.0.0/24",
            "IPRange": "10.55.0.128/25",
            "Gateway": "10.55.0.9",
            "AuxiliaryAddresses": {"x": "10.55.0.130"},
        }
    ]
    assert (shown["Labels"], shown["Driver"], shown["Id"]) == ({"a": "b"}, "bridge", identifier)
    driver.ok("network", "create", "n2")
    chosen = json.loads(driver.ok("network", "inspect", "n2"))[0]["IPAM"]["Config"][0]
    assert chosen["Subnet"] not in ("172.17.0.0/16", "10.55.0.0/24")
    listed = driver.ok("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").splitlines()
    assert listed == [
        "bridge bridge local",
        "host host local",
        "n1 bridge local",
        "n2 bridge local",
        "none null local",
    ]
    assert driver.ok("network", "ls", "-q", "--filter", "label=a=b") == identifier[:12]
    run(driver, "c1", "--network", "n1")
    assert "mtu 1400" in driver.ok("exec", "c1", "ip", "link", "show", "eth0")
    assert driver.inspect("c1")["NetworkSettings"]["Networks"]["n1"]["IPAddress"] == "10.55.0.128"


REFUSED = [
    ("network create bridge", "operation is not permitted on predefined bridge network"),
    ("network create -d nope x", 'plugin "nope" not found'),
    ("network create -d host x", 'only one instance of "host" network is allowed'),
    ("network create --subnet junk x", "Invalid subnet junk : invalid CIDR address: junk"),
    ("network create --subnet 10.6.0.0/24 --gateway 10.7.0.1 x", "no matching subnet for gateway 10.7.0.1"),
    ("network create --subnet 172.17.0.0/24 x", "Pool overlaps with other one on this address space"),
    ("network create taken", "network with name taken already exists"),
    ("network rm nope", "network nope not found"),
    ("network rm bridge", "bridge is a pre-defined network and cannot be removed"),
    ("network inspect nope", "network nope not found"),
    ("network connect nope c1", "network nope not found"),
    ("network connect taken nope", "No such container: nope"),
    ("network connect host c1", "container cannot be disconnected from host network or connected to host network"),
    ("network connect none c1", "container cannot be connected to multiple networks with one of the networks in private (none) mode"),
    ("network connect taken c1", "endpoint with name c1 already exists in network taken"),
    ("network disconnect bridge c1", "is not connected to network bridge"),
    ("run --network nope busybox true", "network nope not found"),
    ("run --network taken --ip 10.9.9.9 busybox true", "user specified IP address is supported only when connecting to networks with user configured subnets"),
]  # fmt: skip


def test_what_is_refused(driver: Driver) -> None:
    """Docker's words, and nothing is left of it."""
    driver.ok("network", "create", "taken")
    run(driver, "c1", "--network", "taken")
    for command, text in REFUSED:
        result = driver(*command.split())
        assert result.code != 0, command
        assert text in result.err, (command, result.err)
    refused = driver("network", "rm", "taken")
    assert "error while removing network: network taken id" in refused.err
    assert "has active endpoints" in refused.err
    assert len(driver.ok("network", "ls", "-q").splitlines()) == 4


def test_connect_and_disconnect(driver: Driver) -> None:
    """While it runs: an interface, its address in /etc/hosts, a route; the default route moves with the
    network that gives it; and back."""
    driver.ok(*["network", "create", "--subnet", "10.55.0.0/24", "n1"])
    driver.ok(*["network", "create", "--subnet", "10.56.0.0/24", "n2"])
    run(driver, "c1", "--network", "n1")
    run(driver, "c2", "--network", "n2", "--ip", "10.56.0.200")
    assert routes(driver, "c1") == {"default eth0", "10.55.0.0/24 eth0"}
    assert not reaches(driver, "c1", "10.56.0.200")
    driver.ok("network", "connect", "--ip", "10.56.0.100", "n2", "c1")
    assert routes(driver, "c1") == {"default eth0", "10.55.0.0/24 eth0", "10.56.0.0/24 eth1"}
    assert "10.56.0.100" in driver.ok("exec", "c1", "cat", "/etc/hosts")
    assert reaches(driver, "c1", "10.56.0.200")
    shown: dict[str, Any] = json.loads(driver.ok("network", "inspect", "n2"))[0]["Containers"]
    assert {item["IPv4Address"] for item in shown.values()} == {"10.56.0.100/24", "10.56.0.200/24"}
    driver.ok("network", "disconnect", "n1", "c1")
    assert routes(driver, "c1") == {"default eth1", "10.56.0.0/24 eth1"}
    assert "10.55.0" not in driver.ok("exec", "c1", "cat", "/etc/hosts")
    assert reaches(driver, "c1", OUTSIDE)
    driver.ok("restart", "-t", "0", "c1")
    assert routes(driver, "c1") == {"default eth0", "10.56.0.0/24 eth0"}
    clash = driver("run", "--network", "n2", "--ip", "10.56.0.100", "busybox", "true")
    assert "Address already in use" in clash.err


def test_isolation(driver: Driver) -> None:
    """W4: neighbours reach each other and the outside, other networks they do not; an internal network
    has no way out."""
    driver.ok("network", "create", "n1")
    driver.ok("network", "create", "n2")
    driver.ok("network", "create", "--internal", "inner")
    for name, network in (
        ("a1", "n1"),
        ("b1", "n1"),
        ("a2", "n2"),
        ("a3", "inner"),
        ("b3", "inner"),
    ):
        run(driver, name, "--network", network)
    addresses = {
        name: next(iter(driver.inspect(name)["NetworkSettings"]["Networks"].values()))["IPAddress"]
        for name in ("a1", "b1", "a2", "a3", "b3")
    }
    assert reaches(driver, "a1", addresses["b1"])
    assert reaches(driver, "a3", addresses["b3"])
    for name, other in (("a1", "a2"), ("a2", "a1"), ("a1", "a3"), ("a3", "a1")):
        assert not reaches(driver, name, addresses[other]), (name, other)
    assert reaches(driver, "a1", OUTSIDE)
    assert not reaches(driver, "a3", OUTSIDE)


def test_names(driver: Driver) -> None:
    """By name, alias, the id's beginning, and a link; of neighbours only; an address gives the name."""
    driver.ok("network", "create", "n1")
    run(driver, "c1", "--network", "n1", "--network-alias", "web")
    run(driver, "c2", "--network", "n1", "--network-alias", "web", "--link", "c1:one")
    first = driver.inspect("c1")
    address = first["NetworkSettings"]["Networks"]["n1"]["IPAddress"]
    for name in ("c1", "one", first["Id"][:12], "c1.n1", "C1"):
        assert address in driver.ok("exec", "c2", "nslookup", name), name
    assert driver.ok("exec", "c2", "nslookup", "web").count("Name:") == 2
    assert "c1.n1" in driver.ok("exec", "c2", "nslookup", address)
    assert "127.0.0.11" in driver.ok("exec", "c2", "cat", "/etc/resolv.conf")
    driver.ok("rename", "c1", "d1")
    assert address in driver.ok("exec", "c2", "nslookup", "d1")


def test_links_of_the_default_bridge(driver: Driver) -> None:
    """A line in /etc/hosts, and variables for each port."""
    run(driver, "p1", "-e", "X=y", "--expose", "80")
    address = driver.inspect("p1")["NetworkSettings"]["IPAddress"]
    hosts = driver.ok("run", "--rm", "--link", "p1:web", "busybox", "cat", "/etc/hosts")
    identifier = driver.inspect("p1")["Id"][:12]
    assert f"{address}\tweb {identifier} p1" in hosts
    words = driver.ok(
        "run", "--rm", "--name", "me", "--link", "p1:web", "busybox", "env"
    ).splitlines()
    assert {
        f"WEB_PORT=tcp://{address}:80",
        f"WEB_PORT_80_TCP_ADDR={address}",
        "WEB_PORT_80_TCP_PORT=80",
        "WEB_NAME=/me/web",
        "WEB_ENV_X=y",
    } <= set(words)
    driver.ok("stop", "-t", "0", "p1")
    refused = driver("run", "--name", "me", "--link", "p1:web", "busybox", "true")
    assert "Cannot link to a non running container: /p1 AS /me/web" in refused.err


def test_links_follow_a_restart(driver: Driver) -> None:
    """Whoever is linked to a container that comes back with another address finds it there."""
    run(driver, "p1")
    run(driver, "c1", "--link", "p1:web")
    before = driver.inspect("p1")["NetworkSettings"]["IPAddress"]
    driver.ok("stop", "-t", "0", "p1")
    run(driver, "taker")  # gets the address that is free
    assert driver.inspect("taker")["NetworkSettings"]["IPAddress"] == before
    driver.ok("start", "p1")
    after = driver.inspect("p1")["NetworkSettings"]["IPAddress"]
    assert after != before
    lines = [line.split() for line in driver.ok("exec", "c1", "cat", "/etc/hosts").splitlines()]
    assert [line[0] for line in lines if "web" in line[1:]] == [after]
    assert reaches(driver, "c1", "web")


def test_prune_and_config_only(driver: Driver) -> None:
    """What no container is in goes; a configuration is taken over by another network."""
    driver.ok(*["network", "create", "--config-only", "--subnet", "10.99.0.0/24", "conf"])
    driver.ok(*["network", "create", "--config-from", "conf", "n1"])
    driver.ok("network", "create", "n2")
    run(driver, "c1", "--network", "n2")
    shown = json.loads(driver.ok("network", "inspect", "n1"))[0]
    assert shown["IPAM"]["Config"][0]["Subnet"] == "10.99.0.0/24"
    assert shown["ConfigFrom"] == {"Network": "conf"}
    assert driver.ok("network", "prune", "-f").splitlines()[:2] == ["Deleted Networks:", "n1"]
    assert "n2" in driver.ok("network", "ls")
    driver.ok("rm", "-f", "c1")


def state(engine: Engine) -> str:
    """Links, addresses and rules of the host, but for what changes by itself."""
    script = "ip -o -4 addr; ip -o link show type bridge; nft list ruleset"
    done = subprocess.run(
        [*engine.host.enter(), "sh", "-c", script], capture_output=True, text=True
    )
    return re.sub(r"(valid_lft|state|qdisc).*", "", done.stdout)


def test_after_the_daemons_death(private: Driver) -> None:
    """Networks, names, addresses and routes go on, are restored, and end; what a crash left is removed."""
    engine = private.engine
    before = state(engine)
    private.ok("network", "create", "n1")
    run(private, "c1", "--network", "n1")
    run(private, "c2", "--network", "n1")
    engine.kill()
    nsenter = ["nsenter", "-t", str(pid_of(engine, "c2")), "-n"]
    asked = subprocess.run([*nsenter, sys.executable, "-c", RESOLVE, "c1"], capture_output=True)
    assert asked.returncode == 0, asked.stderr
    # As a create that was killed would leave it.
    orphan = (
        "ip link add br-orphan type bridge; ip link set br-orphan alias sampan:br-orphan@sampan"
    )
    subprocess.run([*engine.host.enter(), "sh", "-c", orphan], check=True)
    engine.start()
    assert "br-orphan" not in state(engine)
    assert "172.18" in private.ok("exec", "c2", "nslookup", "c1")
    assert reaches(private, "c2", OUTSIDE)
    run(private, "c3", "--network", "n1")
    assert private.inspect("c3")["NetworkSettings"]["Networks"]["n1"]["IPAddress"] == "172.18.0.4"
    private.ok("rm", "-f", "c1", "c2", "c3")
    private.ok("network", "rm", "n1")
    wait_until(lambda: state(engine) == before, "the host as it was")


KILLED = (
    "network create k1",
    "run -d --name k --network n1 -p 8099:80 busybox sleep 1000",
    "network connect n2 c1",
    "network disconnect n1 c1",
    "network rm spare",
    "rm -f c1",
)


@pytest.mark.parametrize("command", KILLED, ids=lambda text: text[:20])
def test_killed_at_any_point(private: Driver, command: str) -> None:
    """The daemon is killed while it makes or changes networks, sooner or later: when it is back, bridges and links
    are what its records say, everything works, and in the end the host is as it was."""
    engine = private.engine
    for name in ("n1", "n2"):
        private.ok("network", "create", name)
    before = everything(engine)
    for delay in (0.02, 0.06, 0.12, 0.25):
        private("network", "create", "spare")
        run(private, "c1", "--network", "n1", "-p", "8098:80")
        client = private.popen(*command.split())
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(delay)
        engine.kill()
        client.wait()
        engine.start()
        known = {
            f"br-{item['Id'][:12]}"
            for item in engine.request("GET", "/networks")[1]
            if item["Driver"] == "bridge" and item["Name"] != "bridge"
        }
        assert set(re.findall(r"br-[0-9a-f]{12}", bridges(engine))) == known
        endpoints = {
            each["EndpointID"]
            for item in engine.containers()
            for each in item["NetworkSettings"]["Networks"].values()
            if item["State"] == "running"
        }
        wait_until(partial(has_links, engine, len(endpoints)), f"{len(endpoints)} links")
        engine.remove_containers()
        run(private, "after", "--network", "n2", "-p", "8098:80", "-p", "8099:80")
        assert reaches(private, "after", OUTSIDE)
        private.ok("rm", "-f", "after")
        for name in ("k1", "spare"):
            private("network", "rm", name)
        wait_until(lambda: everything(engine) == before, "the host as it was")


def bridges(engine: Engine) -> str:
    words = [*engine.host.enter(), "ip", "-o", "link", "show", "type", "bridge"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def has_links(engine: Engine, count: int) -> bool:
    """Of containers that run."""
    return everything(engine).count("alias sampan:") == count


def everything(engine: Engine) -> str:
    """As `state`, with the links of containers; those that wait for the next container do not count."""
    script = "ip -o -d link show type veth | grep -o 'alias sampan:[^ ]*:[0-9a-f]\\{64\\}'; true"
    done = subprocess.run(
        [*engine.host.enter(), "sh", "-c", script], capture_output=True, text=True
    )
    return state(engine) + done.stdout


def test_at_random(private: Driver) -> None:
    """Four clients start, stop, connect and disconnect four containers in three networks at once; in the end
    each is where its record says, reached by its ports, and afterwards the host is as it was."""
    engine = private.engine
    networks = ("n1", "n2", "n3")
    for name in networks:
        private.ok("network", "create", name)
    before = everything(engine)
    names = ("c0", "c1", "c2", "c3")
    for number, name in enumerate(names):
        ports = ("-p", f"808{number}:80")
        private.ok("create", "--name", name, "--network", "n1", *ports, "busybox", "sleep", "1000")

    def client(seed: int) -> None:
        chosen = random.Random(seed)
        for _ in range(OPERATIONS // 4):
            name, network = chosen.choice(names), chosen.choice(networks)
            path, body = chosen.choice(
                (
                    (f"/containers/{name}/start", None),
                    (f"/containers/{name}/stop?t=0", None),
                    (f"/networks/{network}/connect", {"Container": name}),
                    (f"/networks/{network}/disconnect", {"Container": name}),
                )
            )
            status, answer = engine.request("POST", path, body, timeout=60)
            assert status < 500, (path, body, answer)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(client, seed) for seed in range(4)]:
            future.result()
    for name in names:
        private.ok("start", name)
        places = private.inspect(name)["NetworkSettings"]["Networks"]
        shown = private.ok("exec", name, "ip", "-4", "-o", "addr")
        for place in places.values():
            assert place["IPAddress"] in shown
        assert shown.count("scope global") == len(places)
    private.ok("rm", "-f", *names)
    wait_until(lambda: everything(engine) == before, "the host as it was")


def pid_of(engine: Engine, name: str) -> int:
    """From the monitors' records: the daemon is dead."""
    for path in (engine.exec_root / "containers").glob("*/monitor.json"):
        hostname = (engine.data_root / "containers" / path.parent.name / "hosts").read_text()
        if name == "c2" and "172.18.0.3" in hostname:
            return int(json.loads(path.read_text())["init_pid"])
    raise AssertionError(f"{name} does not run")


WHO = (
    "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR' > /w/cgi-bin/who; "
    "chmod +x /w/cgi-bin/who; httpd -f -p 80 -h /w"
)


def test_dual_stack(private: Driver) -> None:
    """Addresses, routes, names and published ports in both families; W2: nothing that a router announces
    is believed, and what is IPv4 only has no IPv6 at all."""
    engine = private.engine
    for command, outside in (
        ("ip addr add 2001:db8::2/64 dev uplink nodad", False),
        ("ip addr add 2001:db8::1/64 dev eth0 nodad", True),
    ):
        subprocess.run([*engine.host.enter(outside=outside), *command.split()], check=True)
    private.ok(*["network", "create", "--ipv6", "--subnet", "fd00:dead::/64", "n6"])
    private.ok(
        *["run", "-d", "--name", "web", "--network", "n6", "-p", "8080:80", "busybox", "sh", "-c"],
        WHO,
    )
    run(private, "c2", "--network", "n6")
    run(private, "c4")
    place = private.inspect("web")["NetworkSettings"]["Networks"]["n6"]
    assert (place["GlobalIPv6Address"], place["IPv6Gateway"]) == ("fd00:dead::2", "fd00:dead::1")
    assert "fd00:dead::2" in private.ok("exec", "c2", "nslookup", "web")
    assert private("exec", "c2", "ping", "-6", "-c1", "-W2", "web").code == 0
    assert private("exec", "web", "ping", "-6", "-c1", "-W2", "2001:db8::1").code == 0
    url = "http://[2001:db8::2]:8080/cgi-bin/who"
    curl = [*engine.host.enter(outside=True), "curl", "-g", "-s", "-m", "5", url]
    wait_until(
        lambda: b"2001:db8::1" in subprocess.run(curl, capture_output=True).stdout, "an answer"
    )
    values = "cat /proc/sys/net/ipv6/conf/eth0/accept_ra /proc/sys/net/ipv6/conf/eth0/disable_ipv6"
    assert private.ok("exec", "web", *values.split()).split() == ["0", "0"]
    assert private.ok("exec", "c4", *values.split()).split() == ["0", "1"]
    for bridge, expected in (
        ("sampan0", ["0", "1"]),
        (f"br-{place['NetworkID'][:12]}", ["0", "0"]),
    ):
        words = values.replace("eth0", bridge).split()
        shown = subprocess.run([*engine.host.enter(), *words], capture_output=True, text=True)
        assert shown.stdout.split() == expected, bridge


def test_strangers_in_one_network(tmp_path: Path) -> None:
    """`--icc=false`, and a network with that option: containers reach the gateway and the outside only."""
    with running_engine("sampand", tmp_path / "s", "--icc=false") as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox")
        driver.ok(*["network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "n1"])
        for network in ("bridge", "n1"):
            for name in ("aa", "ab"):
                run(driver, f"{name}-{network}", "--network", network)
            shown = driver.inspect(f"ab-{network}")["NetworkSettings"]["Networks"][network]
            assert not reaches(driver, f"aa-{network}", shown["IPAddress"])
            assert reaches(driver, f"aa-{network}", shown["Gateway"])
            assert reaches(driver, f"aa-{network}", OUTSIDE)


def test_beside_the_reference_engine(tmp_path: Path) -> None:
    """W5: on one host, dockerd's bridge, rules and containers are the same before, during and after a
    sampand that is stopped and killed; containers of both get out, past the other's firewall."""
    with running_engine("dockerd", tmp_path / "d") as other:
        theirs = Driver(other, "docker")
        theirs.load_image(busybox_tar(), "busybox")
        run(theirs, "c1", "-p", "8080:80")

        def seen() -> str:
            script = (
                "iptables-save | grep -v ^#; ip -o link show docker0; ip -o -4 addr show docker0"
            )
            done = subprocess.run(
                [*other.host.enter(), "sh", "-c", script], capture_output=True, text=True
            )
            return re.sub(r"\[\d+:\d+\]|valid_lft.*", "", done.stdout)

        before = seen()
        with running_engine("sampand", tmp_path / "s", host=other.host) as engine:
            ours = Driver(engine, "docker")
            ours.load_image(busybox_tar(), "busybox")
            run(ours, "c1", "-p", "8081:80")
            assert reaches(ours, "c1", OUTSIDE)
            assert reaches(theirs, "c1", OUTSIDE)
            assert "already" in ours("run", "-p", "8080:80", "busybox", "true").err
            assert seen() == before
            engine.kill()
            assert reaches(theirs, "c1", OUTSIDE)
            engine.start()
            assert seen() == before
        assert seen() == before
        assert reaches(theirs, "c1", OUTSIDE)


# What a container asks, without its tools: a query by UDP to its name server.
RESOLVE = """
import socket, struct, sys
name = b"".join(bytes((len(p),)) + p.encode() for p in sys.argv[1].split(".")) + b"\\0"
query = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("127.0.0.11", 53))
for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1):
    s.send(query); answer = s.recv(512)
    assert struct.unpack(">H", answer[6:8])[0] >= 1, answer
"""

# A name server that knows every name, and writes down who asked for what; TCP too.
UPSTREAM = """
import socket, sys, threading
def answer(q):
    print(q[12:q.index(b"\\0", 12)], flush=True)
    end = q.index(b"\\0", 12) + 5
    return q[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + q[12:end] + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x05\\0\\4\\xcb\\0\\x71\\7"
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("192.0.2.1", 53))
t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(("192.0.2.1", 53)); t.listen()
def tcp():
    while True:
        c, _ = t.accept(); n = int.from_bytes(c.recv(2), "big"); a = answer(c.recv(n))
        c.sendall(len(a).to_bytes(2, "big") + a); c.close()
threading.Thread(target=tcp, daemon=True).start()
print("ready", flush=True)
while True:
    q, a = u.recvfrom(4096); u.sendto(answer(q), a)
"""


def test_other_names_are_asked_outside(private: Driver, tmp_path: Path) -> None:
    """By UDP and TCP, from the host's namespace; W1: nothing from a container in internal networks only."""
    asked = tmp_path / "asked"
    with open(asked, "wb") as log:
        outside = private.engine.host.enter(outside=True)
        server = subprocess.Popen([*outside, sys.executable, "-c", UPSTREAM], stdout=log)
    try:
        wait_until(lambda: asked.read_bytes(), "the name server")
        private.ok("network", "create", "n1")
        private.ok("network", "create", "--internal", "inner")
        run(private, "c1", "--network", "n1", "--dns", OUTSIDE)
        run(private, "c2", "--network", "inner", "--dns", OUTSIDE)
        assert "203.0.113.7" in private.ok("exec", "c1", "nslookup", "a.example")
        pid = private.inspect("c1")["State"]["Pid"]
        script = (
            (
                "import socket\\nq = bytes.fromhex('000701000001000000000000') + b'\\\\1b\\\\7example\\\\0\\\\0\\\\1\\\\0\\\\1'\\n"
                "s = socket.create_connection(('127.0.0.11', 53), 5)\\n"
                "s.sendall(len(q).to_bytes(2, 'big') + q)\\nprint(s.recv(512).hex())"
            )
            .replace("\\\\", "\\")
            .replace("\\n", "\n")
        )
        done = subprocess.run(
            ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", script],
            capture_output=True,
            text=True,
        )
        assert "cb007107" in done.stdout, done.stderr
        assert private("exec", "c2", "nslookup", "secret.example").code == 1
        text = asked.read_bytes()
        assert b"example" in text
        assert b"secret" not in text
    finally:
        server.kill()
        server.wait()


def test_many_queries(private: Driver) -> None:
    """5,000 without a loss; how many a second is the benchmark's affair."""
    private.ok("network", "create", "n1")
    run(private, "c1", "--network", "n1")
    pid = private.inspect("c1")["State"]["Pid"]
    begin = time.monotonic()
    command = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", RESOLVE, "c1", "5000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    print(f"{5000 / (time.monotonic() - begin):.0f} queries a second, one after the other")


def test_link_local_addresses(driver: Driver) -> None:
    """Of a place in a network, beside its own; by `run` and by `connect`."""
    driver.ok("network", "create", "linklocal")
    try:
        flags = ["--network", "linklocal", "--link-local-ip", "169.254.7.7"]
        show = ["ip", "-4", "-o", "addr", "show", "eth0"]
        assert "inet 169.254.7.7/16 " in driver.ok("run", "--rm", *flags, "busybox", *show)
        driver.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        driver.ok("network", "connect", *flags[2:], "linklocal", "web")
        assert "inet 169.254.7.7/16 " in driver.ok("exec", "web", *show[:-1], "eth1")
        place = driver.inspect("web")["NetworkSettings"]["Networks"]["linklocal"]
        assert place["IPAMConfig"]["LinkLocalIPs"] == ["169.254.7.7"]
        wrong = ["--network", "linklocal", "--link-local-ip", "none"]
        assert driver("run", "--rm", *wrong, "busybox", "true").code == 125
        driver.ok("rm", "-f", "web")
    finally:
        driver("network", "rm", "linklocal")
