"""Proxies are chosen as Go's clients do it."""

from __future__ import annotations

import pytest

from sampan.distribution.proxy import Proxies, from_environment
from sampan.errors import InvalidParameter


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "example.test", 443, False),
        ("", "localhost", 80, True),
        ("", "127.0.0.2", 80, True),
        ("", "[::1]", 80, True),
        ("*", "example.test", 443, True),
        ("example.test", "example.test", 443, True),
        ("example.test", "a.example.test", 443, True),
        ("example.test", "notexample.test", 443, False),
        (".example.test", "example.test", 443, False),
        (".example.test", "a.example.test", 443, True),
        ("*.example.test", "a.example.test", 443, True),
        ("example.test:444", "example.test", 443, False),
        ("example.test:443", "example.test", 443, True),
        ("a, Example.Test ,b", "EXAMPLE.test", 443, True),
        ("10.0.0.1", "10.0.0.1", 443, True),
        ("10.0.0.1", "10.0.0.2", 443, False),
        ("10.0.0.0/8", "10.9.9.9", 443, True),
        ("10.0.0.0/8", "ten.test", 443, False),
        ("[fd00::1]:443", "[fd00::1]", 443, True),
        ("10.0.0.0/99", "10.0.0.1", 443, False),
    ],
)
def test_some_hosts_are_asked_directly(no_proxy: str, host: str, port: int, direct: bool) -> None:
    """NO_PROXY: names, what ends in them, suffixes, addresses, networks, ports."""
    proxies = Proxies("http://p.test:3128", "http://p.test:3128", no_proxy)
    assert (proxies.choose("https", host, port) is None) is direct


def test_each_scheme_has_its_proxy() -> None:
    """From the environment, in either case; a bare host means http://."""
    proxies = from_environment(
        {"http_proxy": "one:1", "HTTPS_PROXY": "https://two:2", "NO_PROXY": "x"}
    )
    assert proxies.choose("http", "y", 80) == "http://one:1"
    assert proxies.choose("https", "y", 443) == "https://two:2"
    assert proxies.choose("https", "x", 443) is None
    assert from_environment({}).choose("https", "y", 443) is None


def test_other_proxies_are_refused_and_passwords_not_shown() -> None:
    """There is no SOCKS here."""
    with pytest.raises(InvalidParameter, match="unsupported proxy scheme 'socks5'"):
        Proxies("socks5://u:secret@x").choose("http", "y", 80)
    assert "secret" not in repr(Proxies("http://u:secret@x"))
