"""Networks in words: every command of a long list says on our engine what it says on the reference engine."""

from __future__ import annotations

import re
import shlex

from tests.engines import Driver, Engine, Result

# Run in this order on each engine: what a line makes, later ones use.
COMMANDS = r"""
network create
network create a b
network create ""
network create -d nosuch x
network create --subnet 10.1.0.0 x
network create --subnet 10.1.0.0/33 x
network create --subnet 10.1.0.5/24 x1
network inspect x1 -f {{json .IPAM}}
network rm x1
network create --subnet 10.1.0.0/24 --gateway 10.2.0.1 x
network create --subnet 10.1.0.0/24 --ip-range 10.2.0.0/25 x
network create --gateway 10.2.0.1 x
network create --ip-range 10.2.0.0/25 x
network create --subnet 10.1.0.0/24 --aux-address h=10.1.0.7 --aux-address i=10.1.0.8 --label a=b --label c --opt com.docker.network.bridge.name=brx --opt com.docker.network.driver.mtu=1400 x2
network inspect x2
network create --subnet 10.1.0.0/25 x3
network create --subnet 10.1.0.0/24 --subnet 10.1.1.0/24 x3
network create --aux-address h=10.9.0.7 x3
network create --internal --attachable x4
network inspect x4 -f {{json .}}
network create --ipv6 --subnet fd00:1::/64 x6
network inspect x6 -f {{json .IPAM}}
network create --config-only --subnet 10.5.0.0/24 --label z=1 conf
network create --config-from conf x7
network inspect conf -f {{json .}}
network inspect x7 -f {{json .}}
network rm conf
network create --config-from nosuch x8
network create --config-from x2 x8
network create --config-only --internal c2
network create --config-from conf --subnet 10.6.0.0/24 x8
network create x2
network create bridge
network create host
network create --scope swarm x8
network create --ingress x8
network create --opt com.docker.network.bridge.name=brx x8
network create --opt com.docker.network.driver.mtu=abc x8
network create --opt com.docker.network.bridge.enable_icc=maybe x8
network create --opt nosuch=1 x9
network inspect x9 -f {{json .Options}}
network create --ipam-driver nosuch x10
network create --ipam-opt a=b x11
network inspect x11 -f {{json .IPAM}}
network ls --format {{.Name}}|{{.Driver}}|{{.Scope}}|{{.Internal}}|{{.IPv6}}
network ls -f driver=bridge --format {{.Name}}
network ls -f type=custom --format {{.Name}}
network ls -f type=builtin --format {{.Name}}
network ls -f label=a --format {{.Name}}
network ls -f label=a=b --format {{.Name}}
network ls -f name=x --format {{.Name}}
network ls -f scope=local --format {{.Name}}
network ls -f dangling=true --format {{.Name}}
network ls -f dangling=maybe
network ls -f nosuch=1
network ls -f scope=zzz
network ls -f type=zzz
network inspect bridge -f {{json .}}
network inspect host none
network inspect nosuch
network inspect -v x2 -f {{.Name}}
network rm nosuch
network rm bridge
network rm -f nosuch
run -d --name c1 --network x2 --ip 10.1.0.50 --network-alias al --network-alias am busybox sleep 1000
inspect c1 -f {{json .NetworkSettings.Networks.x2.IPAMConfig}}|{{json .NetworkSettings.Networks.x2.Aliases}}|{{.NetworkSettings.Networks.x2.IPAddress}}|{{.NetworkSettings.Networks.x2.Gateway}}|{{json .NetworkSettings.Networks.x2.Links}}
inspect c1 -f {{json .NetworkSettings}}
run -d --name c2 --network x2 --ip 10.1.0.50 busybox sleep 1000
run -d --name c3 --network x2 --ip 10.99.0.50 busybox sleep 1000
run -d --name c4 --network x4 --ip 10.99.0.50 busybox sleep 1000
run -d --name c5 --ip 172.17.0.50 busybox sleep 1000
run -d --name c6 --network x2 --ip abc busybox sleep 1000
run -d --name c7 --network x2 --mac-address zz busybox sleep 1000
run -d --name c8 --network nosuch busybox sleep 1000
run -d --name c9 --network conf busybox sleep 1000
run -d --name c10 --network-alias x busybox sleep 1000
run -d --name c11 --network host -p 80:80 busybox sleep 1000
run -d --name c12 --network none -p 80:80 busybox true
run -d --name c13 --network container:nosuch busybox true
run -d --name c14 --network container:c1 -p 80:80 busybox true
run -d --name c15 --network container:c1 --hostname h busybox true
run -d --name c16 --network container:c1 --dns 1.1.1.1 busybox true
run -d --name c17 --network container:c1 --add-host a:1.1.1.1 busybox true
run -d --name c18 --network container:c1 --link c1 busybox true
run -d --name c19 --network host --link c1 busybox true
run --rm --name c20 --network x2 --link c1:alias busybox sh -c "ping -qc1 alias | head -1"
run --rm --network x2 --add-host a:1.2.3.4 --add-host=b:host-gateway busybox cat /etc/hosts
run --rm --network x2 --dns 1.1.1.1 --dns-search s.example --dns-option ndots:3 busybox cat /etc/resolv.conf
run --rm --dns 1.1.1.1 --dns-search s.example --dns-option ndots:3 busybox cat /etc/resolv.conf
run --rm --dns-search . --dns 9.9.9.9 busybox cat /etc/resolv.conf
run --rm --dns abc busybox true
run --rm --add-host abc busybox true
run --rm --add-host a:b busybox true
run --rm --network x2 --mac-address 02:11:22:33:44:55 busybox cat /sys/class/net/eth0/address
run --rm --network x2 --network x4 busybox sh -c "ls /sys/class/net"
run --rm --network name=x2,ip=10.1.0.77,alias=q busybox sh -c "ip -4 addr show eth0 | grep inet"
run --rm --network name=x2,gw-priority=5 --network x4 busybox sh -c "ip route | cut -d' ' -f1-3"
run --rm --network x2,nosuch=1 busybox true
run --rm --network x6 --ip6 fd00:1::77 busybox sh -c "ip -6 addr show eth0 | grep -o 'fd00[^ ]*'"
run --rm --network x6 --ip6 fd00:2::77 busybox true
network create --subnet 10.8.0.0/30 --aux-address h=10.8.0.2 tiny
run --rm --network tiny busybox true
network rm tiny
network connect x4 c1
network connect x4 c1
network connect nosuch c1
network connect x4 nosuch
network connect host c1
network connect none c1
network connect --ip 10.50.0.9 x4 c1
network connect --alias zz --link c1:self x7 c1
inspect c1 -f {{json .NetworkSettings.Networks.x7.Aliases}}|{{json .NetworkSettings.Networks.x7.Links}}|{{json .NetworkSettings.Networks.x7.IPAMConfig}}
network inspect x7 -f {{range .Containers}}{{.Name}}|{{.IPv4Address}}|{{.IPv6Address}}{{end}}
network rm x7
network disconnect x4 c1
network disconnect x4 c1
network disconnect nosuch c1
network disconnect x4 nosuch
network disconnect -f x4 nosuch
network disconnect bridge c1
network rm x2
network prune -f
network prune -f --filter nosuch=1
network prune -f --filter until=abc
rm -f c1
network rm x2 x4 x7
network prune -f
network ls --format {{.Name}}
"""

# What newer engines than the reference (20.10) say or do otherwise, or could not be told apart from luck:
# why, and the words of ours.
OTHERWISE = {
    "network inspect x2": (
        "with the gateway that was chosen",
        r'"Subnet": "10\.1\.0\.0/24",\s+"Gateway": "10\.1\.0\.1",\s+"AuxiliaryAddresses": {\s+"h": "10\.1\.0\.7"',
    ),
    "network rm x2 x4 x7": (
        "the network of a container that has stopped is not pruned",
        "^x2\nx4\nx7\n$",
    ),
    "run --rm --network name=x2,gw-priority=5 --network x4 busybox "
    """sh -c "ip route | cut -d' ' -f1-3\"""": (
        "several networks are new",
        r"^default via 10\.1\.0\.1\n10\.1\.0\.0/24 dev eth0\n\S+ dev eth1\n$",
    ),
    'network create ""': (
        "a name that is empty is told as such",
        "invalid network name: name is empty",
    ),
    "network create --subnet 10.1.0.0/24 --subnet 10.1.1.0/24 x3": (
        "told by its cause",
        "bridge driver doesn't support multiple subnets",
    ),
    "network create --ipam-driver nosuch x10": (
        "it is no plugin that is missing",
        'failed to find ipam driver "nosuch"',
    ),
    "network ls -f dangling=maybe": (
        "as newer engines say it",
        r"invalid filter 'dangling=\[maybe\]'",
    ),
    "network ls -f nosuch=1": ("as newer engines say it", "invalid filter 'nosuch'"),
    "network prune -f --filter nosuch=1": ("as newer engines say it", "invalid filter 'nosuch'"),
    "network prune -f": (
        "in the order of their making, not of a map; the second finds nothing",
        r"^(Deleted Networks:\nx6\nx9\nx11\n\n)?$",
    ),
    "run -d --name c5 --ip 172.17.0.50 busybox sleep 1000": (
        "refused at create",
        "^docker: Error response from daemon: invalid config for network bridge: invalid endpoint "
        "settings:\nuser specified IP address is supported on user defined networks only\n",
    ),
    "run -d --name c6 --network x2 --ip abc busybox sleep 1000": (
        "with the network's name",
        "invalid config for network x2: invalid endpoint settings:\ninvalid IPv4 address: abc\n",
    ),
    "run --rm --network x2 --mac-address 02:11:22:33:44:55 busybox cat /sys/class/net/eth0/address": (
        "new",
        "^02:11:22:33:44:55\n$",
    ),
    'run --rm --network x2 --network x4 busybox sh -c "ls /sys/class/net"': (
        "several networks are new",
        "^eth0\neth1\nlo\n$",
    ),
}


def said(result: Result) -> tuple[int, str, str]:
    return result.code, plain(result.out), plain(result.err)


def plain(text: str) -> str:
    """Without what differs from one engine, or one time, to the next."""
    text = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)", "TIME", text)
    return re.sub(r' *"EnableIPv4": true,\n', "", text)  # newer than the reference


def run(engine: Engine, client: str) -> list[tuple[str, tuple[int, str, str]]]:
    driver = Driver(engine, client)
    try:
        return [(line, said(driver(*shlex.split(line)))) for line in COMMANDS.strip().splitlines()]
    finally:
        driver.close()
        for line in COMMANDS.split("\n"):
            if line.startswith("network create"):
                driver("network", "rm", line.split()[-1])


def test_as_the_reference_engine(sampand: Engine, dockerd: Engine) -> None:
    """To the character; where newer engines say another thing, ours says that one."""
    assert OTHERWISE.keys() <= set(COMMANDS.splitlines())
    found = [
        f"{line}\n  ours   {ours}\n  theirs {theirs}"
        for (line, ours), (_, theirs) in zip(
            run(sampand, "docker"), run(dockerd, "docker"), strict=True
        )
        if not _as_it_should_be(line, ours, theirs)
    ]
    assert not found, "\n".join(found)


def _as_it_should_be(line: str, ours: tuple[int, str, str], theirs: tuple[int, str, str]) -> bool:
    if line not in OTHERWISE:
        return ours == theirs
    return re.search(OTHERWISE[line][1], "".join(ours[1:])) is not None
