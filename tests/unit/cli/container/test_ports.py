"""Published and exposed ports."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.cli.container.ports import parse_exposed, parse_published


@pytest.mark.parametrize(
    ("texts", "bindings"),
    [
        (["80"], {"80/tcp": [("", "")]}),
        (["8080:80/UDP"], {"80/udp": [("", "8080")]}),
        (["1.2.3.4::80", "80:80"], {"80/tcp": [("1.2.3.4", ""), ("", "80")]}),
        (["[::1]:8:80"], {"80/tcp": [("::1", "8")]}),
        (["10-11:20-21"], {"20/tcp": [("", "10")], "21/tcp": [("", "11")]}),
        (["10-19:20"], {"20/tcp": [("", "10-19")]}),
        (["20-21"], {"20/tcp": [("", "")], "21/tcp": [("", "")]}),
        (["target=80,published=90,protocol=sctp,mode=host"], {"80/sctp": [("", "90")]}),
    ],
)
def test_published(texts: list[str], bindings: dict[str, list[tuple[str, str]]]) -> None:
    found = parse_published(texts)
    assert {
        port: [(b["HostIp"], b["HostPort"]) for b in some] for port, some in found.items()
    } == bindings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0x50",
        "1_0",
        "65536",
        "2-1",
        "1-2:3-5",
        "a:1:2",
        "80/x",
        "1.2.3.4:80",
        "target=80,x",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_published([text])


def test_exposed() -> None:
    expected: dict[str, Any] = {"80/tcp": {}, "81/udp": {}, "82/udp": {}}
    assert parse_exposed(["80", "81-82/udp", "80/tcp"]) == expected
    for text in ("80:81", "", "x", "/tcp"):
        with pytest.raises(ValueError, match="--expose"):
            parse_exposed([text])
