"""Egress policies: what a container may reach outside of its networks, by docker's label and sampan's flag."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Driver, Engine, Host, running_engine, wait_until
from tests.rootfs import busybox_tar

OUTSIDE, HOST = "192.0.2.1", "192.0.2.2"
GOOD, BAD, OTHER = "198.51.100.1", "198.51.100.2", "198.51.100.3"
GOOD6 = "2001:db8::1"

# Names and where they lead, for a TTL of one second; and web servers everywhere, which answer with the address.
INTERNET = f"""
import http.server, socket, socketserver, struct, threading
NAMES = {{"www.good.example": ["{GOOD}", "{GOOD6}"], "api.good.example": ["{OTHER}"], "bad.example": ["{BAD}"],
         "rebind.good.example": ["172.17.0.1"], "metadata.good.example": ["169.254.169.254"]}}
def answer(query):
    end = query.index(b"\\0", 12) + 5
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode()); at += query[at] + 1
    kind = struct.unpack(">H", query[end - 4 : end - 2])[0]
    family = {{1: socket.AF_INET, 28: socket.AF_INET6}}.get(kind)
    found = [a for a in NAMES.get(".".join(labels).lower(), []) if family and (":" in a) == (kind == 28)]
    body = b"".join(
        b"\\xc0\\x0c" + struct.pack(">HHIH", kind, 1, 1, len(data)) + data
        for data in (socket.inet_pton(family, a) for a in found))
    print(".".join(labels), flush=True)
    return query[:2] + b"\\x81\\x80" + struct.pack(">4H", 1, len(found), 0, 0) + query[12:end] + body
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = self.connection.getsockname()[0].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(data))); self.end_headers()
        self.wfile.write(data)
    def log_message(self, *arguments): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
for port in (80, 8080, 853):
    threading.Thread(target=Server(("::", port), Web).serve_forever, daemon=True).start()
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); dns.bind(("0.0.0.0", 53))
print("ready", flush=True)
while True:
    query, client = dns.recvfrom(4096); dns.sendto(answer(query), client)
"""


@pytest.fixture
def internet(tmp_path: Path) -> Iterator[tuple[Host, Path]]:
    """A host whose outside answers names and has web servers; and the file of what was asked."""
    host = Host()
    asked = tmp_path / "asked"
    setup = f"for a in {GOOD} {BAD} {OTHER}; do ip addr add $a/32 dev lo; done; "
    setup += f"ip addr add {GOOD6}/128 dev lo; ip addr add fd99::1/64 dev eth0 nodad; "
    setup += "ip route add fd00::/8 via fd99::2"
    subprocess.run([*host.enter(outside=True), "sh", "-ec", setup], check=True)
    setup = "ip addr add fd99::2/64 dev uplink nodad; ip -6 route add default via fd99::1"
    subprocess.run([*host.enter(), "sh", "-ec", setup], check=True)
    with open(asked, "wb") as file:
        command = [*host.enter(outside=True), sys.executable, "-c", INTERNET]
        server = subprocess.Popen(command, stdout=file)
    try:
        wait_until(lambda: b"ready" in asked.read_bytes(), "the outside")
        yield host, asked
    finally:
        server.kill()
        server.wait()
        host.close()


@pytest.fixture
def engine(internet: tuple[Host, Path], tmp_path: Path) -> Iterator[Engine]:
    arguments = [f"--dns={OUTSIDE}", "--log-level=info", "--ipv6", "--fixed-cidr-v6=fd00:9::/64"]
    with running_engine("sampand", tmp_path / "s", *arguments, host=internet[0]) as engine:
        Driver(engine, "docker").load_image(busybox_tar(), "busybox")
        yield engine


def run(driver: Driver, name: str, egress: str, *flags: str) -> None:
    said = (
        ["--egress", egress]
        if driver.client == "sampan"
        else ["--label", f"sampan.egress={egress}"]
    )
    driver.ok("run", "-d", "--name", name, *said, *flags, "busybox", "sleep", "1000")


def fetch(driver: Driver, name: str, url: str) -> str:
    """What the web server said, or busybox' words."""
    result = driver("exec", name, "timeout", "5", "wget", "-q", "-O", "-", url)
    return result.out if result.code == 0 else result.err.strip()


def refusals(driver: Driver, name: str) -> list[dict[str, str]]:
    events = driver.ok(
        *["events", "--since", "1h", "--until", "0s", "--filter", "event=egress_refused"],
        *["--filter", f"container={name}", "--format", "{{json .}}"],
    )
    return [json.loads(line)["Actor"]["Attributes"] for line in events.splitlines()]


def told(driver: Driver, name: str, **wanted: str) -> Any:
    """Wait for an event that says so."""
    return wait_until(
        lambda: any(wanted.items() <= found.items() for found in refusals(driver, name)),
        f"an event with {wanted}",
    )


@pytest.mark.parametrize("client", ["docker", "sampan"])
def test_names(client: str, engine: Engine, internet: tuple[Host, Path]) -> None:
    """Allowed names are answered and lead there, by IPv4 and IPv6; others are neither asked for nor reached,
    which is an error at once and an event; without a policy (the control) all of it works."""
    driver = Driver(engine, client)
    driver.ok("network", "create", "--ipv6", "n1")
    run(driver, "c1", "allow=*.good.example,plain.example:8080", "--network", "n1")
    driver.ok("run", "-d", "--name", "free", "--network", "n1", "busybox", "sleep", "1000")
    assert fetch(driver, "free", f"http://{BAD}/") == f"::ffff:{BAD}"
    assert fetch(driver, "free", "http://bad.example/") == f"::ffff:{BAD}"
    assert "refused" in fetch(driver, "c1", f"http://{GOOD}/")
    told(driver, "c1", address=GOOD, port="80", protocol="tcp")
    assert fetch(driver, "c1", "http://www.good.example/") in (f"::ffff:{GOOD}", GOOD6)
    assert fetch(driver, "c1", f"http://{GOOD}/") == f"::ffff:{GOOD}"
    assert fetch(driver, "c1", f"http://[{GOOD6}]/") == GOOD6
    assert "refused" in fetch(driver, "c1", "http://[2001:db8::2]/")
    told(driver, "c1", address="2001:db8::2", port="80", protocol="tcp")
    before = internet[1].read_bytes().count(b"bad.example")
    assert "bad address" in fetch(driver, "c1", "http://bad.example/")
    told(driver, "c1", host="bad.example", reason="not in the list")
    assert internet[1].read_bytes().count(b"bad.example") == before
    assert "refused" in fetch(driver, "c1", f"http://{BAD}/")
    # What a name leads to is open for web servers, and not for a name server that would answer all names.
    assert "refused" in fetch(driver, "c1", f"http://{GOOD}:853/")
    told(driver, "c1", address=GOOD, port="853")
    assert driver("exec", "c1", "nslookup", "bad.example", GOOD).code != 0
    # Neither the host nor a private network is reached by a name.
    for name, address in (("rebind", "172.17.0.1"), ("metadata", "169.254.169.254")):
        assert "bad address" in fetch(driver, "c1", f"http://{name}.good.example/")
        told(driver, "c1", host=f"{name}.good.example", reason=f"leads to {address}")
    # A second after its TTL and the floor of five seconds the address is closed again.
    assert wait_until(lambda: "refused" in fetch(driver, "c1", f"http://{GOOD}/"), "the end", 20)
    assert fetch(driver, "free", f"http://{GOOD}/") == f"::ffff:{GOOD}"
    assert driver.ok("exec", "c1", "ping", "-c1", "-W2", "free")
    assert driver.inspect("c1")["Config"]["Labels"]["sampan.egress"].startswith("allow=*.good")


@pytest.mark.parametrize("flags", [(), ("--network", "n1")])
def test_none_and_addresses(flags: tuple[str, ...], engine: Engine) -> None:
    """`none` reaches neither the outside nor the host nor what the host publishes, nor strangers on the
    default bridge; listed addresses are reached, at their ports; published ports of the container answer."""
    driver = Driver(engine, "docker")
    driver.ok("network", "create", "n1")
    serve = ["busybox", "sh", "-c", "mkdir /w; echo hi > /w/index.html; exec httpd -f -p 80 -h /w"]
    driver.ok("run", "-d", "--name", "web", *flags, "-p", "8081:80", *serve)
    run(driver, "c1", "none", *flags, "-p", "8082:80")
    run(driver, "c2", f"allow={OTHER}:8080,{HOST}:8081,198.51.100.0/31", *flags)
    web = json.loads(driver.ok("inspect", "web"))[0]["NetworkSettings"]["Networks"]
    [place] = web.values()
    near = place["IPAddress"]
    for url in (f"{GOOD}", f"{HOST}:8081", f"{place['Gateway']}:8081", f"{OTHER}:8080"):
        assert "refused" in fetch(driver, "c1", f"http://{url}/"), url
    told(driver, "c1", address=HOST, port="8081", protocol="tcp")
    answered = fetch(driver, "c1", f"http://{near}/")
    assert answered == "hi\n" if flags else "refused" in answered
    assert driver("exec", "c1", "ping", "-c1", "-W2", GOOD).code != 0
    told(driver, "c1", address=GOOD, protocol="icmp")
    assert "bad address" in fetch(driver, "c1", "http://www.good.example/")
    assert fetch(driver, "c2", f"http://{OTHER}:8080/") == f"::ffff:{OTHER}"
    assert "refused" in fetch(driver, "c2", f"http://{OTHER}/")
    assert fetch(driver, "c2", f"http://{GOOD}/") == f"::ffff:{GOOD}"
    assert "refused" in fetch(driver, "c2", f"http://{BAD}/")
    assert fetch(driver, "c2", f"http://{HOST}:8081/") == "hi\n"
    driver.ok("exec", "-d", "c1", *serve[1:])
    curl = ["curl", "-s", "-m", "2", f"http://{HOST}:8082/"]
    command = [*engine.host.enter(outside=True), *curl]
    wait_until(lambda: subprocess.run(command, capture_output=True).stdout == b"hi\n", "port 8082")


def test_neighbours_on_both_families(tmp_path: Path) -> None:
    """The default bridge with IPv6: strangers are reached by neither, and reach the container all the same; a
    container without a policy is the control."""
    with running_engine(
        "sampand", tmp_path / "s", "--ipv6", "--fixed-cidr-v6=fd00:9::/64"
    ) as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox")
        # Where packets that are only bridged are not shown to the firewall, the link alone judges.
        switch = "echo 0 > /proc/sys/net/bridge/bridge-nf-call-ip6tables || true"
        subprocess.run([*engine.host.enter(), "sh", "-c", switch], capture_output=True)
        run(driver, "c1", "none")
        for name in ("free", "web"):
            driver.ok("run", "-d", "--name", name, "busybox", "httpd", "-f", "-p", "80")
        places = {name: driver.inspect(name)["NetworkSettings"] for name in ("c1", "web")}
        for key in ("IPAddress", "GlobalIPv6Address"):
            near, mine = places["web"][key], places["c1"][key]
            url = f"http://[{near}]/" if ":" in near else f"http://{near}/"
            assert "404" in fetch(driver, "free", url)
            assert "refused" in fetch(driver, "c1", url)
            assert driver("exec", "c1", "ping", "-c1", "-W1", near).code != 0
            assert driver.ok("exec", "web", "ping", "-c1", "-W5", mine)
        own = driver.ok("exec", "web", "ip", "-6", "addr", "show", "scope", "link")
        on_link = re.findall(r"fe80:[0-9a-f:]+", own)[0]
        ping = ("ping", "-6", "-c1", "-W1", "-I", "eth0", on_link)
        assert driver("exec", "c1", *ping).code != 0
        assert driver("exec", "free", *ping).code == 0


# A packet with the address of somebody else, by a raw socket; `web`'s and then one's own.
FORGE = """
import socket, struct, sys
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data)); total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
source, target = map(socket.inet_aton, sys.argv[1:3])
packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 33, 1, 0, 64, 17, 0, source, target)
packet += struct.pack("!HHHH", 4000, 4000, 13, 0) + b"hello"
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
s.sendto(packet, (sys.argv[2], 0))
"""


def test_forged_sources(engine: Engine) -> None:
    """A packet that bears a neighbour's address does not leave; from a container without a policy (the control)
    it does."""
    driver = Driver(engine, "docker")
    driver.ok("network", "create", "n1")
    run(driver, "c1", "none", "--network", "n1")
    for name in ("free", "victim"):
        driver.ok("run", "-d", "--name", name, "--network", "n1", "busybox", "sleep", "1000")
    victim = driver.inspect("victim")["NetworkSettings"]["Networks"]["n1"]["IPAddress"]
    listen = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        f"s.bind(('{GOOD}', 4000)); print('ready', flush=True)\n"
        "while True: print(s.recv(99), flush=True)"
    )
    command = [*engine.host.enter(outside=True), sys.executable, "-c", listen]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"ready\n"
        for name in ("c1", "free"):
            pid = str(driver.inspect(name)["State"]["Pid"])
            enter = ["nsenter", "-t", pid, "-n", sys.executable, "-c", FORGE, victim, GOOD]
            subprocess.run(enter, check=True)
            if name == "c1":
                told(driver, "c1", address=GOOD, source=victim, reason="not its own source")
        assert listener.stdout.readline() == b"b'hello'\n"  # one, that of `free`
        listener.kill()
        assert listener.stdout.read() == b""


def test_in_force_whatever_happens(engine: Engine) -> None:
    """Across a restart of the container, connect and disconnect, the daemon's death and return, the warden's
    death, and a flush of the ruleset; and when the last one goes nothing is left of it."""
    driver = Driver(engine, "docker")
    for name in ("n1", "n2"):
        driver.ok("network", "create", name)
    run(driver, "c1", f"allow={OTHER},www.good.example", "--network", "n1")

    def holds() -> bool:
        return fetch(driver, "c1", f"http://{OTHER}/") == f"::ffff:{OTHER}" and "refused" in fetch(
            driver, "c1", f"http://{BAD}/"
        )

    assert holds()
    driver.ok("restart", "-t", "0", "c1")
    assert holds()
    driver.ok("network", "connect", "n2", "c1")
    driver.ok("network", "disconnect", "n1", "c1")
    assert holds()
    engine.kill()
    pid = driver_pid(engine, "c1")
    wget = ["nsenter", "-t", pid, "-n", "curl", "-s", "-m", "5"]
    assert subprocess.run([*wget, f"http://{BAD}/"], capture_output=True).returncode == 7
    assert subprocess.run([*wget, f"http://{OTHER}/"], capture_output=True).returncode == 0
    engine.start()
    assert holds()
    subprocess.run([*engine.host.enter(), "nft", "flush", "ruleset"], check=True)
    wait_until(holds, "the rules after the flush")
    assert fetch(driver, "c1", "http://www.good.example/") == f"::ffff:{GOOD}"
    subprocess.run(["kill", "-9", warden_pid(engine)], check=True)
    assert "refused" in fetch(driver, "c1", f"http://{BAD}/")
    wait_until(
        lambda: fetch(driver, "c1", "http://www.good.example/") == f"::ffff:{GOOD}", "names again"
    )
    assert holds()
    driver.ok("rm", "-f", "c1")
    tables = subprocess.run(
        [*engine.host.enter(), "nft", "list", "tables"], capture_output=True, text=True, check=True
    ).stdout
    assert "egress" not in tables
    assert "table inet sampan\n" in tables


def driver_pid(engine: Engine, name: str) -> str:
    """Without the daemon: by the folders of what runs."""
    [pid] = [
        str(json.loads(path.read_text())["init_pid"])
        for path in (engine.exec_root / "containers").glob("*/monitor.json")
    ]
    return pid


def warden_pid(engine: Engine) -> str:
    """By its socket: several daemons of the machine have one each."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text() == "sampan-network\n":
                net = (folder / "net/unix").read_text()
                if f"{engine.exec_root}/network.sock" in net:
                    return folder.name
    raise AssertionError("there is no warden")


REFUSED = [
    ("nothing", [], 'invalid egress policy "nothing": it is "none" or "allow=LIST"'),
    ("allow=", [], 'invalid egress policy: "": no name or address'),
    (
        "allow=a.example,*.*.b",
        [],
        'invalid egress policy: "*.*.b": a wildcard stands for whole labels',
    ),
    ("allow=a.example:0", [], 'invalid egress policy: "a.example:0": "0" is no port'),
    ("allow=192.0.2.0/33", [], 'invalid egress policy: "192.0.2.0/33": no IP address or subnet'),
    ("none", ["--network", "host"], "an egress policy needs a network of the container's own"),
]


@pytest.mark.parametrize(("policy", "flags", "text"), REFUSED)
def test_what_is_refused(ours: Driver, policy: str, flags: list[str], text: str) -> None:
    """A policy that cannot be is an error before anything is made, in the same words for both clients."""
    said = (
        ["--egress", policy] if ours.client == "sampan" else ["--label", f"sampan.egress={policy}"]
    )
    result = ours("run", "--name", "c1", *said, *flags, "busybox", "true")
    assert result.code == 125
    assert text in result.err
    assert ours.engine.containers() == []


def test_labels_of_images(ours: Driver) -> None:
    """An image decides nothing: its labels in our name space are no container's; its others are, and the
    caller's are."""
    ours.load_image(busybox_tar(), "labelled", "LABEL sampan.egress=none other=1", 'CMD ["true"]')
    ours.ok("create", "--name", "c1", "labelled")
    assert ours.inspect("c1")["Config"]["Labels"] == {"other": "1"}
    ours.ok("create", "--name", "c2", "--label", "sampan.egress=none", "labelled")
    labels = ours.inspect("c2")["Config"]["Labels"]
    assert labels == {"other": "1", "sampan.egress": "none"}
