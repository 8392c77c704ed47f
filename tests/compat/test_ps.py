"""ps: every filter, sizes, last and latest, formats; with both clients on both engines."""

from __future__ import annotations

import pytest

from tests.engines import Driver, Engine

FILTERS: list[tuple[list[str], set[str]]] = [
    (["name=^/al"], {"alpha"}),
    (["name=^al.*a$"], {"alpha"}),
    (["name=a|b"], {"alpha", "beta", "gamma"}),
    (["name=^(beta|gamma)$"], {"beta", "gamma"}),
    (["name=["], set()),
    (["name=alpha", "name=beta"], {"alpha", "beta"}),
    (["label=x"], {"alpha", "beta"}),
    (["label=x=1"], {"alpha"}),
    (["label=x", "label=y"], {"beta"}),
    (["status=running"], {"gamma"}),
    (["status=created", "status=exited"], {"alpha", "beta"}),
    (["exited=3"], {"beta"}),
    (["exited=0"], set()),
    (["before=gamma"], {"alpha", "beta"}),
    (["since=alpha"], {"beta", "gamma"}),
    (["since=alpha", "before=gamma"], {"beta"}),
    (["volume=/data"], {"gamma"}),
    (["volume=psvol"], {"gamma"}),
    (["network=none"], {"beta"}),
    (["network=bridge"], {"alpha", "gamma"}),
    (["ancestor=busybox"], {"alpha", "beta", "gamma"}),
    (["ancestor=nosuch"], set()),
    (["expose=80/udp"], set()),
    (["publish=8080"], set()),
    (["health=none"], {"alpha", "beta", "gamma"}),
    (["health=healthy"], set()),
    (["is-task=false"], {"alpha", "beta", "gamma"}),
    (["id=zz"], set()),
]


@pytest.fixture
def three(driver: Driver) -> Driver:
    """alpha (created), beta (exited 3), gamma (running)."""
    driver.ok("create", "--name", "alpha", "--label", "x=1", "--expose", "80", "busybox")
    labels = ["--label", "x=2", "--label", "y"]
    driver("run", "--name", "beta", *labels, "--network", "none", "busybox", "sh", "-c", "exit 3")
    driver.ok("run", "-d", "--name", "gamma", "-v", "psvol:/data", "busybox", "sleep", "1000")
    return driver


def names(driver: Driver, *arguments: str) -> list[str]:
    return driver.ok("ps", "--format", "{{.Names}}", *arguments).split()


def test_filters(three: Driver) -> None:
    """Values of one filter are alternatives (labels: all must hold), filters must all hold."""
    found = []
    for filters, _ in FILTERS:
        flags = [word for each in filters for word in ("--filter", each)]
        found.append((filters, set(names(three, "-a", *flags))))
    assert found == FILTERS
    identifier = three.inspect("alpha")["Id"]
    assert names(three, "-a", "--filter", f"id={identifier[:10]}") == ["alpha"]


def test_exposed_ports(ours: Driver) -> None:
    """By number, by range; also of what was never started, which dockerd leaves out."""
    ours.ok("create", "--name", "alpha", "--expose", "80", "busybox")
    for value, expected in (("80", ["alpha"]), ("79-81/tcp", ["alpha"]), ("80/udp", [])):
        assert names(ours, "-a", "--filter", f"expose={value}") == expected


def test_which_and_how_many(three: Driver) -> None:
    """Without -a what runs; -n and -l the last ones, whatever they do; newest first."""
    assert names(three) == ["gamma"]
    assert names(three, "-a") == ["gamma", "beta", "alpha"]
    assert names(three, "-n", "2") == ["gamma", "beta"]
    assert names(three, "-l") == ["gamma"]
    assert names(three, "--filter", "exited=3") == []
    assert names(three, "--filter", "status=exited") == ["beta"]
    three.ok("stop", "-t", "0", "gamma")
    assert names(three) == []
    assert names(three, "-l") == ["gamma"]


def test_sizes_and_formats(three: Driver) -> None:
    """-s counts what was written; -q, --no-trunc, table and json."""
    three.ok("exec", "gamma", "sh", "-c", "head -c 12345 /dev/zero > /f")
    assert three.ok("ps", "-s", "--format", "{{.Size}}").startswith("12.3kB (virtual ")
    full = three.inspect("gamma")["Id"]
    assert three.ok("ps", "-q") == full[:12]
    assert three.ok("ps", "-q", "--no-trunc") == full
    table = three.ok("ps", "--format", "table {{.Names}}\t{{.State}}").splitlines()
    assert [line.split() for line in table] == [["NAMES", "STATE"], ["gamma", "running"]]
    assert '"Names":"gamma"' in three.ok("ps", "--format", "json")


REFUSED = [
    ('{"foo":["x"]}', "invalid filter 'foo'"),
    ('{"status":["foo"]}', "invalid filter 'status=foo'"),
    ('{"exited":["x"]}', "invalid syntax"),
    ('{"health":["x"]}', "Unrecognised filter value for health: x"),
    ('{"is-task":["x"]}', "invalid filter 'is-task=[x]'"),
    ('{"publish":["x"]}', "error while looking up for publish x"),
    ('{"expose":["99999"]}', "value out of range"),
    ('{"expose":["9-1"]}', "invalid range"),
    ('{"label":"a"}', "invalid filters"),
    ("[1", "invalid filters"),
]


@pytest.mark.parametrize(("filters", "text"), REFUSED)
def test_refused(sampand: Engine, filters: str, text: str) -> None:
    """Filters that make no sense: 400, and what is wrong."""
    from urllib.parse import quote

    status, body = sampand.request("GET", f"/containers/json?filters={quote(filters)}")
    assert (status, text.lower() in body["message"].lower()) == (400, True), body


@pytest.mark.parametrize("key", ["before", "since"])
def test_unknown_neighbour(sampand: Engine, key: str) -> None:
    status, body = sampand.request("GET", f'/containers/json?filters={{"{key}":["nosuch"]}}')
    assert (status, body["message"]) == (404, "no such container nosuch")
