"""`sampan ports`: who can reach published ports, as the host's rules are; and what it says is tried."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.test_firewalls import HOST, SERVE, Ufw
from tests.engines import Driver, Engine, Host, running_engine, wait_until
from tests.rootfs import busybox_tar

NEAR, NEIGHBOUR = "198.51.100.1", "198.51.100.2"


@pytest.fixture
def host() -> Iterator[Host]:
    """With a second link, to neighbours: no gateway is behind it."""
    host = Host()
    setup = f"""
        ip link add near type veth peer name near0 netns {host.outside_pid}
        ip addr add {NEAR}/24 dev near; ip link set near up
        nsenter --net=/proc/{host.outside_pid}/ns/net sh -ec '
            ip addr add {NEIGHBOUR}/24 dev near0; ip link set near0 up'
    """
    subprocess.run([*host.enter(), "sh", "-ec", setup], check=True)
    yield host
    host.close()


def said(driver: Driver) -> dict[str, dict[str, Any]]:
    """By `address:port`."""
    lines = driver.ok("ports", "--exposed", "--format", "json").splitlines()
    assert all("Rule" in json.loads(line) for line in lines)
    found = driver.engine.request("GET", "/sampan/ports?exposed=1")[1]
    return {f"{row['HostIp']}:{row['HostPort']}": row for row in found}


def tried(engine: Engine, port: int) -> dict[str, bool]:
    """Which interfaces of the host let somebody in, found out."""
    found = {}
    for name, address, outside in (
        ("lo", "127.0.0.1", False),
        ("uplink", HOST, True),
        ("near", NEAR, True),
    ):
        curl = ["curl", "-s", "-m", "2", f"http://{address}:{port}/"]
        done = subprocess.run([*engine.host.enter(outside=outside), *curl], capture_output=True)
        found[name] = done.stdout == b"hello\n"
    return found


def agrees(driver: Driver, key: str) -> dict[str, Any]:
    """The row, when what it says of each interface is what happens."""
    row = said(driver)[key]
    words = {way["Name"]: way["Reach"] for way in row["Interfaces"]}
    for name, reached in tried(driver.engine, int(key.rpartition(":")[2])).items():
        assert words.get(name, "no") == ("yes" if reached else "no"), (key, name, row)
    return row


@pytest.mark.parametrize("mode", ["docker", "host"])
def test_what_is_said_is_so(mode: str, host: Host, tmp_path: Path) -> None:
    """Without a firewall, with rules of the administrator's, with ufw that denies and that allows: for each
    interface of the host what is said is tried, and the rule that decides is named."""
    ufw = Ufw(host, tmp_path / "ufw")
    nft = [*host.enter(), "nft"]
    with running_engine("sampand", tmp_path / "s", f"--publish-mode={mode}", host=host) as engine:
        driver = Driver(engine, "sampan")
        driver.load_image(busybox_tar(), "busybox")
        ports = ["-p", "0.0.0.0:8080:80", "-p", "127.0.0.1:8081:80", "-p", f"{HOST}:8082:80"]
        driver.ok("run", "-d", "--name", "web", *ports, "busybox", "sh", "-c", SERVE)
        wait_until(lambda: tried(engine, 8080)["uplink"], "the server")
        row = agrees(driver, "0.0.0.0:8080")
        assert row["Reach"] == "everywhere"
        assert row["Way"] == ("forwarded" if mode == "docker" else "relayed")
        assert ("inet sampan ports4: tcp . 8080" in row["Rule"]) == (mode == "docker")
        assert agrees(driver, "127.0.0.1:8081")["Reach"] == "loopback"
        # One from the uplink reaches the address that is bound; so does one who routes there by another link.
        assert said(driver)[f"{HOST}:8082"]["Reach"] == "everywhere"
        rules = "add table inet own; add chain inet own in { type filter hook prerouting priority raw; }; "
        rules += 'add rule inet own in iifname "uplink" tcp dport 8000-8090 counter drop'
        subprocess.run([*nft, rules], check=True)
        row = agrees(driver, "0.0.0.0:8080")
        assert row["Reach"] == "neighbours"
        assert row["Rule"] == 'inet own in: iifname "uplink" tcp dport 8000-8090 drop'
        subprocess.run([*nft, "delete table inet own"], check=True)
        ufw("--force", "enable")
        wait_until(lambda: tried(engine, 8080)["uplink"] == (mode == "docker"), "ufw")
        row = agrees(driver, "0.0.0.0:8080")
        assert row["Reach"] == ("everywhere" if mode == "docker" else "loopback")
        if mode == "host":
            assert row["Rule"] == "ip filter INPUT: policy drop"
        ufw("allow", "8080/tcp")
        wait_until(lambda: tried(engine, 8080)["uplink"], "the opened port")
        row = agrees(driver, "0.0.0.0:8080")
        assert row["Reach"] == "everywhere"
        if mode == "host":
            assert row["Rule"] == "ip filter ufw-user-input: tcp dport 8080 accept"
        table = driver.ok("ports", "--exposed").splitlines()
        assert table[0].split() == ["NAME", "PORT", "REACHED", "FROM", "INTERFACES", "RULE"]
        assert any("web 0.0.0.0:8080->80/tcp everywhere" in " ".join(x.split()) for x in table)
        assert "web 127.0.0.1:8081->80/tcp" in " ".join(driver.ok("ports").split())
        ufw("disable")
