"""Verifies that flows are forgotten by who began them, on the real kernel."""

from __future__ import annotations

import os
import shutil
import socket
from ipaddress import ip_address

import pytest

from sampan.linux import conntrack
from sampan.linux.nft import CommandNft
from tests.netns import private_netns, raise_loopback

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft"
)


def flows() -> list[str]:
    found: list[str] = []
    conntrack.forget_flows(lambda flow: bool(found.append(str(ip_address(flow.source)))))  # type: ignore[func-returns-value]
    return sorted(found)


def begin(source: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.sendto(b"x", ("::1" if ":" in source else "127.0.0.1", port))


def test_flows_of_one() -> None:
    """Those of an address go, of either family, and all others stay; one that has none is no error."""
    with private_netns():
        raise_loopback()
        CommandNft().run(
            "add table inet t; add chain inet t o { type filter hook output priority 0; }; "
            "add rule inet t o ct state established accept"
        )
        for source in ("127.0.0.2", "127.0.0.3", "::1"):
            for port in (7, 8):
                begin(source, port)
        assert conntrack.forget_flows_from(ip_address("127.0.0.9")) == 0
        assert conntrack.forget_flows_from(ip_address("fd00::1")) == 0
        assert conntrack.forget_flows_from(ip_address("127.0.0.2")) == 2
        assert conntrack.forget_flows_from(ip_address("::1")) == 2
        assert flows() == ["127.0.0.3", "127.0.0.3"]
