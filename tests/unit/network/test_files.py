"""Verifies that /etc/hosts, /etc/hostname and /etc/resolv.conf are what dockerd wrote, to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sampan.errors import InvalidParameter
from sampan.network import files
from sampan.network.files import Resolver, build_hostname, build_hosts, build_resolv_conf

GOLDEN = Path(__file__).parents[2] / "golden" / "network"


def cases(name: str) -> list[dict]:
    return json.loads((GOLDEN / name).read_text())["cases"]


def values(options: list[str], flag: str) -> list[str]:
    return [value for name, value in zip(options[::2], options[1::2]) if name == flag]


def reachable_only(content: str) -> bool:
    return all(":" not in s and not s.startswith("127.") for s in servers(content))


def servers(content: str) -> list[str]:
    return files.name_servers(content.encode())


@pytest.mark.parametrize("case", cases("resolv_conf.json"), ids=lambda c: repr(c)[:90])
def test_resolv_conf(case: dict) -> None:
    """Each host file with each option; but for copied loopback servers, which are left out."""
    options = case["options"]
    host_network = "host" in values(options, "--network")
    resolver = Resolver(
        servers=values(options, "--dns"),
        search=values(options, "--dns-search"),
        options=values(options, "--dns-opt"),
    )
    built = build_resolv_conf(case["host"].encode(), resolver, host_network=host_network)
    if not resolver or host_network or resolver.servers or reachable_only(case["content"]):
        assert built.decode() == case["content"]
        return
    kept = [s for s in servers(case["content"]) if ":" not in s and not s.startswith("127.")]
    assert servers(built.decode()) == (kept or ["8.8.8.8", "8.8.4.4"])
    rest = [line for line in case["content"].splitlines() if not line.startswith("nameserver")]
    assert [x for x in built.decode().splitlines() if not x.startswith("nameserver")] == rest


@pytest.mark.parametrize("case", cases("hosts.json"), ids=lambda c: repr(c["options"]))
def test_hosts_and_hostname(case: dict) -> None:
    """Names with and without a domain, extra hosts, no network."""
    options = case["options"]
    hostname = values(options, "-h")[0]
    built = build_hosts(
        hostname=hostname,
        domainname="".join(values(options, "--domainname")),
        addresses=[] if "none" in values(options, "--network") else ["172.30.98.2"],
        extra=values(options, "--add-host"),
        host_gateways=["172.30.98.1"],
    )
    assert built.decode() == case["hosts"]
    assert build_hostname(hostname).decode() == case["hostname"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nocolon", "bad format for add-host"),
        (":1.2.3.4", "bad format for add-host"),
        ("a:1.2.3", "invalid IP address in add-host"),
        ("a:host-gateway", "unable to derive the IP value for host-gateway"),
    ],
)
def test_extra_host_that_is_none(text: str, words: str) -> None:
    """Refused with Docker's words."""
    with pytest.raises(InvalidParameter, match=words):
        build_hosts(hostname="h", extra=[text])


def test_ipv6_servers_stay_on_an_ipv6_network() -> None:
    """The fall-back has IPv6 servers there too."""
    host = b"nameserver 2001:db8::1\n"
    assert build_resolv_conf(host, Resolver(), ipv6=True) == host
    fallback = build_resolv_conf(b"", Resolver(), ipv6=True).decode()
    assert servers(fallback)[-1] == "2001:4860:4860::8844"


@pytest.mark.parametrize(
    ("stub", "behind", "expected"),
    [
        ("nameserver 127.0.0.53\n", "nameserver 9.9.9.9\n", "nameserver 9.9.9.9\n"),
        ("nameserver 127.0.0.53\n", None, "nameserver 127.0.0.53\n"),
        ("nameserver 1.1.1.1\n", "nameserver 9.9.9.9\n", "nameserver 1.1.1.1\n"),
        (None, "nameserver 9.9.9.9\n", ""),
    ],
)
def test_systemd_resolved_stub(
    stub: str | None,
    behind: str | None,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its stub is replaced by the servers behind it; anything else is the host's own file."""
    for name, content in (("RESOLV_CONF", stub), ("RESOLVED_CONF", behind)):
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        monkeypatch.setattr(files, name, str(path))
    assert files.read_host_resolv_conf().decode() == expected
