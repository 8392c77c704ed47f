"""Verifies how wishes for published ports become what the host holds."""

from __future__ import annotations

import errno

import pytest

from sampan.engine.network.ports import bindings, from_held, refusal, to_held, wishes
from sampan.errors import InvalidParameter
from sampan.network.warden.holds import Held, Refused, Wanted
from sampan.spec.container import ContainerConfig, HostConfig, PortBinding
from tests.fakes.engine import record


def asked(ports: dict[str, list[tuple[str, str]]], **host: object) -> list[Wanted]:
    bound = {
        port: [PortBinding(host_ip=ip, host_port=number) for ip, number in places]
        for port, places in ports.items()
    }
    config = ContainerConfig(exposed_ports={"80/tcp": {}, "7000-7001/udp": {}})
    return wishes(config, HostConfig(port_bindings=bound, **host))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ({"80/tcp": [("", "8080")]}, [Wanted("tcp", 80, (), 8080, 8080)]),
        ({"80": [("127.0.0.1", "8080")]}, [Wanted("tcp", 80, ("127.0.0.1",), 8080, 8080)]),
        ({"80/tcp": [("", "")]}, [Wanted("tcp", 80)]),
        ({"80/tcp": []}, [Wanted("tcp", 80)]),
        ({"80/udp": [("::", "8000-8009")]}, [Wanted("udp", 80, ("::",), 8000, 8009)]),
        (
            {f"{n}/tcp": [("", str(n + 1000))] for n in range(80, 90)},
            [Wanted("tcp", 80, (), 1080, 1089, 10)],
        ),
        (
            {"80/tcp": [("", "80")], "82/tcp": [("", "82")], "81/udp": [("", "81")]},
            [
                Wanted("tcp", 80, (), 80, 80),
                Wanted("tcp", 82, (), 82, 82),
                Wanted("udp", 81, (), 81, 81),
            ],
        ),
        (
            {"1/tcp": [("", "")], "2/tcp": [("", "9-10")], "3/tcp": [("", "9")]},
            [Wanted("tcp", 3, (), 9, 9), Wanted("tcp", 2, (), 9, 10), Wanted("tcp", 1)],
        ),
        ({"80/tcp": [("", "80"), ("", "80")]}, [Wanted("tcp", 80, (), 80, 80)]),
    ],
)
def test_wishes(ports: dict[str, list[tuple[str, str]]], expected: list[Wanted]) -> None:
    """Fixed ones first, then ranges, then any; neighbours are one run, a port asked for twice is one."""
    assert asked(ports) == expected


def test_ten_thousand_ports_are_one_wish() -> None:
    """However they are asked for."""
    ports = {f"{n}/tcp": [("", str(n))] for n in range(10000, 20000)}
    assert asked(ports) == [Wanted("tcp", 10000, (), 10000, 19999, 10000)]


def test_publish_all() -> None:
    """What is exposed, ranges too, but for what is bound already."""
    found = asked({"80/tcp": [("", "8080")]}, publish_all_ports=True)
    assert found == [
        Wanted("tcp", 80, (), 8080, 8080),
        Wanted("udp", 7000),
        Wanted("udp", 7001),
    ]


@pytest.mark.parametrize(
    ("port", "ip", "number"),
    [
        ("0/tcp", "", "1"),
        ("65536", "", "1"),
        ("80/icmp", "", "1"),
        ("x", "", "1"),
        ("80", "", "65536"),
        ("80", "", "9-8"),
        ("80", "", "-1"),
        ("80", "host", "1"),
        ("٣", "", "1"),
    ],
)
def test_nonsense(port: str, ip: str, number: str) -> None:
    """A client's error."""
    with pytest.raises(InvalidParameter):
        asked({port: [(ip, number)]})


def test_runs_are_shown_port_by_port() -> None:
    """And survive the way through the record."""
    held = [Held("tcp", "0.0.0.0", 8080, 80, 2), Held("tcp", "::", 8080, 80, 2)]
    ports = from_held(held)
    assert to_held(ports) == held
    assert bindings(ports) == {
        "80/tcp": [("0.0.0.0", 8080), ("::", 8080)],
        "81/tcp": [("0.0.0.0", 8081), ("::", 8081)],
    }


@pytest.mark.parametrize(
    ("address", "number", "allocated", "text"),
    [
        (
            "0.0.0.0",
            errno.EADDRINUSE,
            True,
            "Bind for 0.0.0.0:80 failed: port is already allocated",
        ),
        (
            "::",
            errno.EADDRINUSE,
            False,
            "failed to bind host port [::]:80/tcp: address already in use",
        ),
        (
            "10.9.9.9",
            errno.EADDRNOTAVAIL,
            False,
            "failed to bind host port 10.9.9.9:80/tcp: cannot assign requested address",
        ),
    ],
)
def test_refusals(address: str, number: int, allocated: bool, text: str) -> None:
    """Docker's words, for a conflict among containers and one with somebody else."""
    refused = Refused(Wanted("tcp", 80), address, 80, number)
    refused.allocated = allocated
    assert str(refusal(record("web"), refused)).endswith(text)
