"""Networks across hosts: two daemons in network namespaces of their own, with a wire between them."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines import Driver, Engine, Host, wait_until
from tests.rootfs import busybox_tar

A, B, STRANGER = "10.250.0.1", "10.250.0.2", "10.250.0.9"
SUBNET = "10.77.0.0/24"
PEERS = f"peers={A},{B}"


@dataclass
class Pair:
    """`a` with docker, `b` with sampan."""

    a: Driver
    b: Driver

    def __iter__(self) -> Iterator[Driver]:
        return iter((self.a, self.b))


def on(driver: Driver, script: str) -> str:
    """Run on the driver's host; the output."""
    command = [*driver.engine.host.enter(), "sh", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wire(a: Host, b: Host) -> None:
    script = f"""
        ip link add wire type veth peer name wire netns {b.pid}
        ip addr add {A}/24 dev wire; ip -6 addr add fd99::1/64 dev wire nodad; ip link set wire up
        nsenter --net=/proc/{b.pid}/ns/net sh -ec '
            ip addr add {B}/24 dev wire; ip addr add {STRANGER}/24 dev wire
            ip -6 addr add fd99::2/64 dev wire nodad; ip link set wire up'
    """
    subprocess.run([*a.enter(), "sh", "-ec", script], check=True, timeout=20)


@contextlib.contextmanager
def two_hosts(folder: Path, program: Sequence[str] = ()) -> Iterator[Pair]:
    """Wired, each with a daemon, which `program` is if it is given."""
    hosts = Host(), Host()
    engines: list[Engine] = []
    try:
        wire(*hosts)
        for name, host in zip("ab", hosts, strict=True):
            engine = Engine("sampand", folder / name, host)
            engine.program = list(program) or engine.program
            engines.append(engine.start())
        drivers = Pair(Driver(engines[0], "docker"), Driver(engines[1], "sampan"))
        for driver in drivers:
            driver.load_image(busybox_tar(), "busybox")
        yield drivers
        for driver in drivers:
            driver.close()
    finally:
        for engine in engines:
            engine.dispose()
        for host in hosts:
            host.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with two_hosts(tmp_path) as drivers:
        yield drivers


def create(driver: Driver, *flags: str, name: str = "far") -> None:
    driver.ok("network", "create", "-d", "vxlan", *flags, name)


def run(driver: Driver, name: str, *flags: str) -> str:
    """Its address."""
    driver.ok("run", "-d", "--name", name, "--network", "far", *flags, "busybox", "sleep", "1000")
    return str(driver.inspect(name)["NetworkSettings"]["Networks"]["far"]["IPAddress"])


def reaches(driver: Driver, name: str, target: str) -> bool:
    return driver("exec", name, "ping", "-c1", "-W3", target).code == 0


def looked_up(driver: Driver, name: str, target: str) -> set[str]:
    """The IPv4 addresses that the container finds."""
    out = driver("exec", name, "nslookup", "-type=a", target, "127.0.0.11").out
    return set(re.findall(r"Address(?: \d+)?:\s*(10\.77\.[\d.]+)", out))


def links(driver: Driver) -> list[str]:
    return sorted(re.findall(r"^\d+: (vx\w+|br-\w+)", on(driver, "ip -o link"), re.MULTILINE))


def test_one_subnet_on_two_hosts(pair: Pair) -> None:
    """The same command on both: addresses from parts of their own, names of both, room for the headers;
    nobody but the peers is heard; nothing is left behind."""
    for driver in pair:
        create(driver, "--subnet", SUBNET, "--opt", PEERS)
    shown = [json.loads(driver.ok("network", "inspect", "far"))[0] for driver in pair]
    assert [item["IPAM"]["Config"] for item in shown] == [
        [{"Subnet": SUBNET, "IPRange": "10.77.0.0/25", "Gateway": "10.77.0.1"}],
        [{"Subnet": SUBNET, "IPRange": "10.77.0.128/25", "Gateway": "10.77.0.129"}],
    ]
    assert {item["Driver"] for item in shown} == {"vxlan"}
    here = run(pair.a, "one", "--network-alias", "both")
    there = run(pair.b, "two", "--network-alias", "both")
    assert (here, there) == ("10.77.0.2", "10.77.0.128")
    assert reaches(pair.a, "one", there)
    assert reaches(pair.b, "two", "one")
    assert reaches(pair.a, "one", "two.far")
    assert looked_up(pair.a, "one", "both") == looked_up(pair.b, "two", "both") == {here, there}
    out = pair.a.ok("exec", "one", "nslookup", there)
    assert "two.far" in out
    # An Ethernet frame of 1450 bytes and its headers fit the wire's 1500, whole.
    assert "mtu 1450" in pair.a.ok("exec", "one", "ip", "link", "show", "eth0")
    pings = ("exec", "one", "ping", "-c1", "-W3", "-s", "1422", there)
    assert pair.a(*pings).code == 0
    # A stranger's address on the same wire, with the right number: dropped before VXLAN sees it.
    link = next(name for name in links(pair.a) if name.startswith("vx"))
    vni = int(link[6:], 16)
    datagram = (
        bytes((8, 0, 0, 0, *vni.to_bytes(3, "big"), 0)) + b"\xff" * 6 + b"\x02" * 6 + bytes(60)
    )
    before = counted(pair.a, link)
    send_from(pair.b, STRANGER, datagram)
    assert reaches(pair.a, "one", there)  # by now what was sent before has arrived, or has not
    assert counted(pair.a, link) - before < 50
    send_from(pair.b, B, datagram)
    wait_until(lambda: counted(pair.a, link) - before >= 100, "a peer's frames")
    # The peer's own address as the source, but from a container of this host: not heard either.
    pair.a.ok("run", "-d", "--name", "liar", "--cap-add", "NET_RAW", "busybox", "sleep", "1000")
    packet = udp_packet(B, A, 4789, datagram)
    before = counted(pair.a, link)
    send_raw(pair.a, "liar", packet, 100)
    assert reaches(pair.a, "one", there)
    # A ping and what neighbours ask each other meanwhile are a few frames, and not a hundred.
    assert counted(pair.a, link) - before < 50
    for driver, name in zip(pair, ("one", "two"), strict=True):
        driver.ok("rm", "-f", name)
        driver.ok("network", "rm", "far")
        assert links(driver) == []


def udp_packet(source: str, target: str, port: int, data: bytes) -> bytes:
    """IPv4 and UDP without check sums: the kernel makes the first, and the second may be absent (RFC 768)."""
    length = 8 + len(data)
    udp = struct.pack("!HHHH", port, port, length, 0) + data
    address = [socket.inet_aton(text) for text in (source, target)]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 1, 0, 64, 17, 0, *address) + udp


def send_raw(driver: Driver, name: str, packet: bytes, times: int) -> None:
    """From inside the container's network namespace, through its own default route."""
    pid = driver.inspect(name)["State"]["Pid"]
    target = socket.inet_ntoa(packet[16:20])
    script = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW);"
        f"[s.sendto(bytes.fromhex('{packet.hex()}'), ('{target}', 0)) for _ in range({times})]"
    )
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", script]
    subprocess.run(command, check=True, timeout=20)


def test_ports_that_are_taken(pair: Pair) -> None:
    """The port beside is where hosts ask each other for names. In words, and nothing is left."""
    driver = pair.a
    create(driver, "--subnet", SUBNET, "--opt", PEERS, "--opt", "port=5000")
    before = links(driver)
    for port, taken in ((5001, 5001), (4999, 5000)):
        flags = ("--subnet", "10.79.0.0/24", "--opt", PEERS, "--opt", f"port={port}")
        result = driver("network", "create", "-d", "vxlan", *flags, "other")
        assert result.code == 1
        assert f"vxlan: port {taken}" in result.err
        assert "in use: name another with --opt port=" in result.err
        assert links(driver) == before


def send_from(driver: Driver, source: str, datagram: bytes) -> None:
    script = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f"s.bind(('{source}', 0));"
        f"[s.sendto(bytes.fromhex('{datagram.hex()}'), ('{A}', 4789)) for _ in range(100)]"
    )
    on(driver, f'python3 -c "{script}"')


def counted(driver: Driver, link: str) -> int:
    lines = on(driver, "cat /proc/net/dev").splitlines()
    return next(int(line.split()[2]) for line in lines if line.strip().startswith(f"{link}:"))


def test_after_a_daemons_death(pair: Pair) -> None:
    """Links, targets and names are what the records say, whatever happened to them meanwhile."""
    for driver in pair:
        create(driver, "--subnet", SUBNET, "--opt", PEERS)
    run(pair.a, "one")
    there = run(pair.b, "two")
    assert reaches(pair.a, "one", there)
    link = next(name for name in links(pair.a) if name.startswith("vx"))
    pair.a.engine.kill()
    assert reaches(pair.b, "two", "one")  # the dead daemon's warden still tells its names
    on(pair.a, f"bridge fdb del 00:00:00:00:00:00 dev {link} dst {B}")
    on(pair.a, f"bridge fdb append 00:00:00:00:00:00 dev {link} dst 10.250.0.77")
    pair.a.engine.start()
    targets = on(pair.a, f"bridge fdb show dev {link}")
    assert f"dst {B} self" in targets
    assert "10.250.0.77" not in targets
    assert reaches(pair.a, "one", "two")
    pair.a.engine.kill()
    on(pair.a, f"ip link del {link}")
    pair.a.engine.start()
    wait_until(lambda: reaches(pair.a, "one", "two"), "the link made anew")
    assert reaches(pair.b, "two", "one")
    pair.a.engine.kill()
    on(pair.a, f"ip link set {link} nomaster; ip link set {link} mtu 1300")
    pair.a.engine.start()
    wait_until(lambda: reaches(pair.a, "one", "two"), "the link made anew")


def test_a_network_that_cannot_be_restored(pair: Pair) -> None:
    """Its links stay as they are, for those that use them; when its cause is gone, the next start restores it."""
    for driver in pair:
        create(driver, "--subnet", SUBNET, "--opt", PEERS)
    run(pair.a, "one")
    before = links(pair.a)
    pair.a.engine.kill()
    on(pair.a, f"ip addr del {A}/24 dev wire")
    pair.a.engine.start()
    assert links(pair.a) == before
    result = pair.a("run", "-d", "--name", "three", "--network", "far", "busybox", "sleep", "99")
    assert result.code == 125
    assert "network far not found: it could not be restored: vxlan: " in result.err
    on(pair.a, f"ip addr add {A}/24 dev wire")
    pair.a.ok("start", "three")
    there = run(pair.b, "two")
    for name in ("one", "three"):
        assert reaches(pair.a, name, there)
        assert reaches(pair.a, name, "two")
    # The address of the one that ran all the time was known to be taken.
    assert (
        len(
            {
                pair.a.inspect(name)["NetworkSettings"]["Networks"]["far"]["IPAddress"]
                for name in ("one", "three")
            }
        )
        == 2
    )


def test_a_network_that_was_not_restored_is_removed(pair: Pair) -> None:
    """With the links that were spared, at once: not only by the next start."""
    driver = pair.a
    before = links(driver)
    create(driver, "--subnet", SUBNET, "--opt", PEERS)
    made = links(driver)
    driver.engine.kill()
    on(driver, f"ip addr del {A}/24 dev wire")
    driver.engine.start()
    assert links(driver) == made != before
    driver.ok("network", "rm", "far")
    assert links(driver) == before


REFUSED = [
    ((), "vxlan: --opt peers=ADDRESS,… or peers=dns:NAME is needed"),
    (("--opt", "peers=x"), "vxlan: peer 'x' is not an IP address"),
    (("--opt", PEERS, "--opt", "vni=0"), "vxlan: vni must be between 1 and 16777215, received: 0"),
    (("--opt", PEERS, "--opt", "colour=red"), "vxlan: unknown option 'colour'"),
    (("--opt", PEERS, "--opt", "local=10.1.1.1"), "vxlan: 10.1.1.1 is not an address of this host"),
    (("--opt", PEERS, "--opt", "device=nix"), "vxlan: there is no interface nix"),
    (("--opt", PEERS, "--opt", "mtu=1499"), "vxlan: mtu 1499 does not fit: wire carries 1450"),
    (("--opt", PEERS, "--subnet", "10.78.0.0/30"), "subnet 10.78.0.0/30 is too small for 2 hosts"),
    (("--opt", "peers=dns:nobody.invalid"), "vxlan: peers: nobody.invalid: "),
    (("--opt", "peers=dns:localhost"), "vxlan: peers that are found by name need --ip-range"),
]


def test_what_is_refused(pair: Pair) -> None:
    """In words, with nothing left behind; another's link and a number that is in use too."""
    driver = pair.a
    for flags, words in REFUSED:
        subnet = () if "--subnet" in flags else ("--subnet", SUBNET)
        result = driver("network", "create", "-d", "vxlan", *subnet, *flags, "far")
        assert result.code == 1, flags
        assert words in result.err, flags
    result = driver("network", "create", "-d", "vxlan", "--opt", PEERS, "far")
    assert "vxlan: --subnet is needed, the same on every host" in result.err
    create(driver, "--subnet", SUBNET, "--opt", PEERS, "--opt", "vni=7")
    flags = ("--subnet", "10.79.0.0/24", "--opt", PEERS, "--opt", "vni=7")
    result = driver("network", "create", "-d", "vxlan", *flags, "other")
    assert "vxlan: vni 7 at port 4789 is in use on this host" in result.err
    assert links(driver) == sorted(
        (f"br-{driver.ok('network', 'ls', '-qf', 'name=far')}", "vx12b5000007")
    )
    driver.ok("network", "rm", "far")
    on(driver, "ip link add vx12b5000008 type bridge")
    flags = ("--subnet", SUBNET, "--opt", PEERS, "--opt", "vni=8")
    result = driver("network", "create", "-d", "vxlan", *flags, "far")
    assert result.code == 1
    assert "is in use on this host" in result.err
    assert links(driver) == ["vx12b5000008"]


def test_ipv6_inside_and_outside(pair: Pair) -> None:
    """Both families inside, over an IPv6 network outside; 70 bytes of every packet are headers."""
    for driver in pair:
        create(
            driver,
            *("--ipv6", "--subnet", SUBNET, "--subnet", "fd77::/64"),
            *("--opt", "peers=fd99::1,fd99::2", "--opt", "port=5000", "--opt", "vni=66"),
        )
    run(pair.a, "one")
    run(pair.b, "two")
    assert "mtu 1430" in pair.b.ok("exec", "two", "ip", "link", "show", "eth0")
    assert reaches(pair.a, "one", "two")
    place = pair.b.inspect("two")["NetworkSettings"]["Networks"]["far"]
    assert place["GlobalIPv6Address"] == "fd77::8000:0:0:0"
    assert pair.a("exec", "one", "ping", "-6", "-c1", "-W3", "fd77::8000:0:0:0").code == 0


def test_peers_found_by_name(tmp_path: Path) -> None:
    """A name that leads to all hosts, this one too: who it leads to later is heard from then on."""
    names = tmp_path / "hosts"
    names.write_text(f"{A} all.test\n")
    mount = f'mount --bind {names} /etc/hosts && exec "$@"'
    daemon = [sys.executable, "-m", "sampan.daemon"]
    program = ["unshare", "-m", "sh", "-c", mount, "sh", *daemon]
    with two_hosts(tmp_path, program) as pair:
        for number, (driver, local) in enumerate(zip(pair, (A, B), strict=True)):
            part = f"10.77.0.{128 * number}/25"
            flags = ("--subnet", SUBNET, "--ip-range", part, "--opt", f"local={local}")
            create(driver, *flags, "--opt", "peers=dns:all.test")
        run(pair.a, "one")
        there = run(pair.b, "two")
        assert not reaches(pair.a, "one", there)  # a knows of nobody yet
        names.write_text(f"{A} all.test\n{B} all.test\n")
        wait_until(lambda: reaches(pair.a, "one", "two"), "the other host to be found", 40)
        names.write_text(f"{A} all.test\n10.250.0.44 all.test\n")
        wait_until(lambda: not reaches(pair.a, "one", there), "the other host to be left", 40)
