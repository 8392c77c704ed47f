"""The column of ports."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.cli.formats.ports import show_ports


def port(private: int, public: int = 0, address: str = "", kind: str = "tcp") -> dict[str, Any]:
    made: dict[str, Any] = {"PrivatePort": private, "Type": kind}
    return made | ({"PublicPort": public} if public else {}) | ({"IP": address} if address else {})


@pytest.mark.parametrize(
    ("ports", "shown"),
    [
        ([], ""),
        ([port(80)], "80/tcp"),
        ([port(81), port(80), port(82, kind="udp")], "80-81/tcp, 82/udp"),
        ([port(80), port(82)], "80/tcp, 82/tcp"),
        ([port(80, 8080, "0.0.0.0"), port(80, 8080, "::")], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        ([port(80, 80, "0.0.0.0"), port(81, 81, "0.0.0.0"), port(80, 80, "::"), port(81, 81, "::")],
         "0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp"),
        ([port(90), port(80, 8080, "1.2.3.4")], "90/tcp, 1.2.3.4:8080->80/tcp"),
    ],
)  # fmt: skip
def test_ports(ports: list[dict[str, Any]], shown: str) -> None:
    assert show_ports(ports) == shown
