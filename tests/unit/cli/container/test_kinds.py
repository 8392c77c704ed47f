"""Values of `run`'s flags, as docker reads them; its complaints are in the recorded table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sampan.cli.container import kinds


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (kinds.parse_attach, "STDIN", "stdin"),
        (kinds.parse_address, " 10.0.0.1 ", "10.0.0.1"),
        (kinds.parse_address, "0:0::1", "::1"),
        (kinds.parse_address, "::ffff:1.2.3.4", "1.2.3.4"),
        (kinds.parse_search_domain, "example.com.", "example.com"),
        (kinds.parse_search_domain, ".", "."),
        (kinds.parse_cgroup_rule, "b *:5 r", "b *:5 r"),
        (kinds.parse_extra_host, "a:1.2.3.4", "a:1.2.3.4"),
        (kinds.parse_extra_host, "a=[::1]", "a:::1"),
        (kinds.parse_extra_host, "a:host-gateway", "a:host-gateway"),
        (kinds.parse_ulimit, "nofile=5:-1", {"Name": "nofile", "Hard": -1, "Soft": 5}),
        (kinds.parse_ulimit, "cpu=3", {"Name": "cpu", "Hard": 3, "Soft": 3}),
        (kinds.parse_swap, "-1", -1),
        (kinds.parse_swap, "1k", 1024),
        (kinds.parse_cpus, "1.5", 1500000000),
        (kinds.parse_cpus, "1/4", 250000000),
        (kinds.parse_cpus, "1e1", 10000000000),
        (kinds.parse_cpus, ".5", 500000000),
        (kinds.parse_cpus, "0x10", 16000000000),
        (kinds.parse_cpus, "-2", -2000000000),
        (kinds.parse_sysctl, "net.a=b=c", ("net.a", "b=c")),
        (kinds.parse_pair, "a=b=c", ("a", "b=c")),
        (kinds.parse_weight_device, "/dev/a:0", {"Path": "/dev/a", "Weight": 0}),
        (kinds.parse_rate_bps, "/dev/a:1mb", {"Path": "/dev/a", "Rate": 1 << 20}),
        (kinds.parse_rate_iops, "/dev/a:7", {"Path": "/dev/a", "Rate": 7}),
    ],
)
def test_values(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (kinds.parse_address, ["1.2.3", "01.2.3.4", "::g", "", "1.2.3.4\0"]),
        (kinds.parse_search_domain, ["", "1", "a..b", "-a", "a-", "a" * 255, "a b"]),
        (
            kinds.parse_cgroup_rule,
            ["", "x 1:1 r", "c 1 r", "c 1:1 rwmr", "c 1:1 x", "c  1:1 r", "c 1:\u0661 r"],
        ),
        (
            kinds.parse_cpus,
            ["", "x", "1/0", "1/-2", "1/x", "1.2.3", "1e", "1e99999", "0.0000000001", "1/3"],
        ),
        (
            kinds.parse_ulimit,
            ["nofile", "x=1", "nofile=1:2:3", "nofile=2:1", "nofile=-1:5", "nofile="],
        ),
        (kinds.parse_sysctl, ["net.a", "kernel.x=1", "=", ""]),
        (kinds.parse_label, ["", "=x", " =x", "a b=c"]),
        (kinds.parse_link, ["", "a:b:c"]),
    ],
)
def test_refused(parse: Callable[[str], Any], texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(ValueError):
            parse(text)


def test_a_bare_name_takes_its_value_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "1=2")
    monkeypatch.delenv("GONE", raising=False)
    assert [kinds.parse_env(text) for text in ("HERE", "GONE", "HERE=", "A=b=c")] == [
        "HERE=1=2",
        "GONE",
        "HERE=",
        "A=b=c",
    ]
