"""Networks on a link of the host (macvlan, ipvlan), networks of one family, and the daemon's say in them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, running_engine
from tests.rootfs import busybox_tar

OUTSIDE = "192.0.2.1"
SUBNET = ("--subnet", "192.0.2.0/24", "--gateway", OUTSIDE, "--ip-range", "192.0.2.64/26")


@pytest.fixture
def driver(driver: Driver) -> Iterator[Driver]:
    """Whatever networks a test leaves are removed after its containers."""
    yield driver
    driver.engine.remove_containers()
    for network in driver.engine.request("GET", "/networks")[1]:
        if network["Name"] not in ("bridge", "host", "none"):
            driver.engine.request("DELETE", f"/networks/{network['Id']}")


def create(driver: Driver, name: str, *flags: str, kind: str = "macvlan") -> None:
    driver.ok("network", "create", "-d", kind, *flags, name)


def run(driver: Driver, name: str, *flags: str) -> None:
    driver.ok("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")


def reaches(driver: Driver, name: str, target: str) -> bool:
    return driver("exec", name, "ping", "-c1", "-W2", target).code == 0


def links(driver: Driver) -> list[str]:
    command = [*driver.engine.host.enter(), "ip", "-o", "link"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(re.findall(r"^\d+: ([^:@]+)", out, re.MULTILINE))


def test_macvlan(driver: Driver) -> None:
    """A neighbour of the host on its wire: who is there reaches it, by names too, and nothing of it is
    seen in the host; published ports are taken and lead nowhere, as with dockerd."""
    before = links(driver)
    create(driver, "lan", "-o", "parent=uplink", *SUBNET)
    shown = json.loads(driver.ok("network", "inspect", "lan"))[0]
    assert (shown["Driver"], shown["Options"]) == ("macvlan", {"parent": "uplink"})
    run(driver, "c1", "--network", "lan", "-p", "8080:80")
    mac = () if driver.engine.kind == "dockerd" else ("--mac-address", "02:00:00:00:00:07")
    run(driver, "c2", "--network", "lan", "--ip", "192.0.2.77", *mac)
    place = driver.inspect("c1")["NetworkSettings"]["Networks"]["lan"]
    assert (place["IPAddress"], place["Gateway"]) == ("192.0.2.64", OUTSIDE)
    assert reaches(driver, "c1", OUTSIDE)
    assert reaches(driver, "c1", "c2")
    assert not reaches(driver, "c1", "192.0.2.2")  # the host itself: macvlan(8)
    assert (mac or ("",))[-1] in driver.ok("exec", "c2", "ip", "link", "show", "eth0")
    assert "default via 192.0.2.1 dev eth0" in driver.ok("exec", "c1", "ip", "route")
    assert links(driver) == before
    driver.ok("network", "disconnect", "lan", "c2")
    assert "eth0" not in driver.ok("exec", "c2", "ip", "link")
    assert not reaches(driver, "c2", OUTSIDE)
    driver.ok("network", "connect", "--ip", "192.0.2.78", "lan", "c2")
    assert reaches(driver, "c2", OUTSIDE)
    driver.ok("restart", "-t0", "c1")
    assert reaches(driver, "c1", OUTSIDE)
    assert driver("network", "rm", "lan").code == 1
    driver.ok("rm", "-f", "c1", "c2")
    driver.ok("network", "rm", "lan")
    assert links(driver) == before


def test_modes(driver: Driver) -> None:
    """In private mode neighbours do not reach each other; internal networks have no way out."""
    create(driver, "lan", "-o", "parent=uplink", "-o", "macvlan_mode=private", *SUBNET)
    run(driver, "c1", "--network", "lan")
    run(driver, "c2", "--network", "lan", "--ip", "192.0.2.90")
    assert reaches(driver, "c1", OUTSIDE)
    assert not reaches(driver, "c1", "192.0.2.90")
    driver.ok("rm", "-f", "c1", "c2")
    driver.ok("network", "rm", "lan")  # dockerd 20.10 has one network a parent
    create(driver, "in", "--internal", "-o", "parent=uplink", "--subnet", "198.51.100.0/24")
    run(driver, "c3", "--network", "in")
    assert "default" not in driver.ok("exec", "c3", "ip", "route")


REFUSED = [
    (("-o", "parent=nix"), "invalid subinterface vlan name nix, example formatting is eth0.10"),
    (("-o", "parent=uplink.5000"), "vlan id must be between 1-4094, received: 5000"),
    (
        ("-o", "parent=uplink.x"),
        "unable to parse a valid vlan id from: x (ex. eth0.10 for vlan 10)",
    ),
    (("-o", "parent=nix.7"), "-o parent interface does was not found on the host: nix"),
    (
        ("-o", "parent=a.b.7"),
        "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received "
        "a.b.7",
    ),
    (("-o", "parent=lo"), "loopback interface is not a valid macvlan parent link"),
    (
        ("-o", "parent=uplink", "-o", "macvlan_mode=odd"),
        "requested macvlan mode 'odd' is not valid, 'bridge' mode is the macvlan driver default",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0][-1])
def test_what_is_refused(driver: Driver, case: tuple[tuple[str, ...], str]) -> None:
    """In dockerd's words; and no network and no link are left."""
    before = links(driver)
    flags, words = case
    result = driver("network", "create", "-d", "macvlan", *flags, "--subnet", "10.66.0.0/24", "bad")
    assert (result.code, words in result.err) == (1, True), result.err
    assert "bad" not in driver.ok("network", "ls")
    assert links(driver) == before


@pytest.mark.parametrize(
    ("kind", "flags", "link"),
    [
        ("ipvlan", ("-o", "parent=uplink"), "ipvlan"),
        ("macvlan", ("-o", "parent=uplink.7"), "vlan"),
        ("macvlan", ("--internal",), "dummy"),
    ],
)
def test_what_the_kernel_may_lack(
    driver: Driver, kind: str, flags: tuple[str, ...], link: str
) -> None:
    """A kernel without such links: a clear error and nothing left; with them: a network that is removed."""
    if driver.engine.kind == "dockerd":
        pytest.skip("dockerd finds that out at the start of a container")
    before = links(driver)
    create_ = ("network", "create", "-d", kind, *flags, "--subnet", "10.66.0.0/24", "maybe")
    number = "id 3" if link == "vlan" else ""
    parent = "" if link == "dummy" else "link uplink"
    script = f"ip link add p0 {parent} type {link} {number} && ip link del p0"
    command = [*driver.engine.host.enter(), "sh", "-c", script]
    probe = subprocess.run(command, capture_output=True, text=True)
    result = driver(*create_)
    if "Unknown device type" in probe.stderr:
        assert result.code == 1
        assert "operation not supported" in result.err
        assert f"this kernel has no {link} links" in result.err
    else:
        assert result.code == 0
        driver.ok("network", "rm", "maybe")
    assert links(driver) == before


def test_one_family(driver: Driver) -> None:
    """IPv6 alone: no IPv4 address, names and neighbours by IPv6."""
    if driver.engine.kind == "dockerd":
        pytest.skip("dockerd 20.10 knows no networks without IPv4")
    driver.ok("network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd66::/64", "six")
    shown = json.loads(driver.ok("network", "inspect", "six"))[0]
    assert (shown["EnableIPv4"], shown["EnableIPv6"]) == (False, True)
    assert shown["IPAM"]["Config"] == [{"Subnet": "fd66::/64", "Gateway": "fd66::1"}]
    run(driver, "c1", "--network", "six")
    run(driver, "c2", "--network", "six")
    place = driver.inspect("c2")["NetworkSettings"]["Networks"]["six"]
    assert (place["IPAddress"], place["GlobalIPv6Address"]) == ("", "fd66::3")
    assert driver("exec", "c1", "ping", "-6", "-c1", "-W2", "c2").code == 0
    assert "inet " not in driver.ok("exec", "c1", "ip", "addr", "show", "eth0")
    result = driver("network", "create", "--ipv4=false", "none-at-all")
    assert "IPv4 or IPv6 must be enabled" in result.err


def test_prune_by_age_and_label(driver: Driver) -> None:
    """`until` spares what is younger, labels choose; a moment that is none is refused."""
    driver.ok("network", "create", "--label", "keep=1", "one")
    driver.ok("network", "create", "two")
    driver.ok("network", "prune", "-f", "--filter", "until=1h")
    driver.ok("network", "prune", "-f", "--filter", "label=other")
    assert {"one", "two"} <= set(driver.ok("network", "ls", "--format", "{{.Name}}").split())
    assert "two" in driver.ok("network", "prune", "-f", "--filter", "label!=keep")
    assert "one" in driver.ok("network", "prune", "-f", "--filter", "until=2099-01-01T00:00:00")
    result = driver("network", "prune", "-f", "--filter", "until=rubbish")
    assert result.code == 1
    assert 'failed to parse value as time or duration: "rubbish"' in result.err


def test_what_the_daemon_says(tmp_path: Path) -> None:
    """Both families by default, the default bridge's too, and what `host-gateway` stands for."""
    flags = (
        "--ipv6",
        "--fixed-cidr-v6=fd67::/64",
        "--host-gateway-ip=192.0.2.55",
        "--host-gateway-ip=fd68::9",
        "--default-network-opt=bridge=com.docker.network.enable_ipv6=true",
        "--default-network-opt=bridge=com.docker.network.driver.mtu=1333",
    )
    with running_engine("sampand", tmp_path / "s", *flags) as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox")
        shown = json.loads(driver.ok("network", "inspect", "bridge"))[0]
        assert shown["EnableIPv6"] is True
        assert shown["IPAM"]["Config"][1] == {"Subnet": "fd67::/64", "Gateway": "fd67::1"}
        run(driver, "c1", "--add-host", "home:host-gateway")
        run(driver, "c2")
        address = driver.inspect("c2")["NetworkSettings"]["Networks"]["bridge"]["GlobalIPv6Address"]
        assert driver("exec", "c1", "ping", "-6", "-c1", "-W2", address).code == 0
        hosts = driver.ok("exec", "c1", "cat", "/etc/hosts")
        assert "192.0.2.55\thome" in hosts
        assert "fd68::9\thome" in hosts
        driver.ok("network", "create", "both")
        shown = json.loads(driver.ok("network", "inspect", "both"))[0]
        assert shown["EnableIPv6"] is True
        assert len(shown["IPAM"]["Config"]) == 2
        driver.ok("network", "create", "--ipv6=false", "four")
        assert json.loads(driver.ok("network", "inspect", "four"))[0]["EnableIPv6"] is False
        create(driver, "lan", "-o", "parent=uplink", *SUBNET)
        run(driver, "c4", "--network", "lan")
        run(driver, "c3", "--network", "both")
        assert "mtu 1333" in driver.ok("exec", "c3", "ip", "link", "show", "eth0")
        engine.kill()
        engine.start()
        assert reaches(driver, "c4", OUTSIDE)
        run(driver, "c5", "--network", "lan")
        places = driver.inspect("c5")["NetworkSettings"]["Networks"]
        assert places["lan"]["IPAddress"] == "192.0.2.65"
        assert driver("exec", "c1", "ping", "-6", "-c1", "-W2", address).code == 0
        driver.close()
