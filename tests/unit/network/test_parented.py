"""Verifies the links of macvlan and ipvlan: parents found, made and removed, and a container's plan."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import Any

import pytest
from tests.fakes.links import FakeLinks, FakeSwitches, fake_host

from sampan.errors import InvalidParameter, SampanError
from sampan.network.config import ParentConfig
from sampan.network.endpoint import Endpoint
from sampan.network.host import Host
from sampan.network.parent import remove_parent, set_up_parent
from sampan.network.parented import plan_child
from sampan.network.plan import run_plan
from sampan.network.wiring import Wiring


def links(host: Host) -> FakeLinks:
    assert isinstance(host.links, FakeLinks)
    return host.links


def there(host: Host) -> list[str]:
    return [link.name for link in host.links.links()]


@pytest.mark.parametrize("name", ["eth0.10", "dm-0123456789ab"])
def test_a_parent_of_ours(name: str) -> None:
    """Made up and marked, found the second time, removed with its network; one of another's stays."""
    host = fake_host()
    for _ in range(2):
        set_up_parent(host, name, kind="macvlan", owner="me")
    assert there(host).count(name) == 1
    assert host.links.link(name).up
    remove_parent(host, name, owner="you")
    assert name in there(host)
    remove_parent(host, name, owner="me")
    remove_parent(host, name, owner="me")
    assert name not in there(host)
    remove_parent(host, "eth0", owner="me")
    assert "eth0" in there(host)


@pytest.mark.parametrize(
    ("missing", "name", "words"),
    [
        ("ipvlan", "eth0", "this kernel has no ipvlan links"),
        ("vlan", "eth0.10", "failed to create eth0.10 vlan link: operation not supported"),
        ("dummy", "dm-1", "failed to create dummy link: operation not supported"),
    ],
)
def test_what_a_kernel_lacks(missing: str, name: str, words: str) -> None:
    """Is said, and nothing is left."""
    host = fake_host()
    before = there(host)
    links(host).missing = {missing}
    with pytest.raises(SampanError, match=words):
        set_up_parent(host, name, kind="ipvlan", owner="me")
    assert there(host) == before


def test_a_mark_that_cannot_be_made() -> None:
    """The link goes again."""
    host = fake_host()
    links(host).fail_at = 1
    with pytest.raises(PermissionError):
        set_up_parent(host, "eth0.10", kind="macvlan", owner="me")
    assert "eth0.10" not in there(host)


@pytest.mark.parametrize(
    "name", ["nix", "nix.7", "eth0.0", "eth0.4095", "eth0.-1", "eth0.1.2", "eth0."]
)
def test_names_that_are_none(name: str) -> None:
    """Neither a link that is there nor LINK.NUMBER."""
    with pytest.raises(InvalidParameter):
        set_up_parent(fake_host(), name, kind="macvlan", owner="me")


ENDPOINT = Endpoint(
    network_id="n",
    endpoint_id="e",
    container_id="c",
    address="10.7.0.2",
    prefix=24,
    gateway="10.7.0.1",
    mac="02:42:0a:07:00:02",
    host_interface="",
)


def child(kind: str, mode: str, *, fail_at: int | None = None) -> list[tuple[str, Any]]:
    """What is done in the container's namespace."""
    inside = FakeLinks(fail_at=fail_at)
    host = FakeLinks(inside)
    host._add("eth0", "")
    config = ParentConfig(
        network_id="n",
        name="n",
        kind=kind,
        parent="eth0",
        mode=mode,
        gateway=IPv4Interface("10.7.0.1/24"),
    )
    wiring = Wiring(host, FakeSwitches(), inside, 3)
    try:
        run_plan(plan_child(config, ENDPOINT, default_route=True), wiring)
    except PermissionError:
        assert [link.name for link in inside.links()] == ["lo"]
        raise
    assert inside.link("eth0").kind == kind
    return [call for call in inside.calls if call[0] == "add_route"]


def test_a_containers_link() -> None:
    """Made in its namespace; by ipvlan's layer 3 there is no router, and everything goes by the link."""
    assert child("macvlan", "bridge") == [("add_route", ("default", "10.7.0.1"))]
    assert child("ipvlan", "l2") == [("add_route", ("default", "10.7.0.1"))]
    assert child("ipvlan", "l3") == [("add_route", ("0.0.0.0/0", "None"))]


@pytest.mark.parametrize("failing", range(3))
def test_every_step_fails_once(failing: int) -> None:
    """Nothing stays in the namespace."""
    with pytest.raises(PermissionError):
        child("macvlan", "bridge", fail_at=failing)
