"""Verifies how a container is plugged in: the steps, adopted or made, and that each may fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.fakes.links import FakeLinks, FakeSwitches

from sampan.network.endpoint import Endpoint, host_interface_name, link_alias, owner
from sampan.network.plan import run_plan
from sampan.network.wiring import (
    Port,
    ReadyPair,
    Wiring,
    cut_wire,
    make_pair,
    plan_plug,
    wait_operational,
)

ID = "0123456789abcdef" * 4
PORT = Port("sampan0", 2, 1400)
ENDPOINT = Endpoint(
    network_id="n",
    endpoint_id="f" * 64,
    container_id=ID,
    address="172.17.0.2",
    prefix=16,
    gateway="172.17.0.1",
    mac="02:42:ac:11:00:02",
    host_interface=host_interface_name(ID, "f" * 64),
)


def wiring() -> tuple[Wiring, FakeLinks, FakeLinks]:
    inside = FakeLinks()
    host = FakeLinks(inside)
    bridge = host._add("sampan0", "bridge")
    host.set_link(bridge.index, up=True)
    return Wiring(host, FakeSwitches(), inside, 9), host, inside


def ready(context: Wiring) -> ReadyPair:
    return make_pair(context, "svrandom", PORT, alias=link_alias("sampan0", "ready"))


@pytest.mark.parametrize("adopted", [False, True])
def test_plug(adopted: bool) -> None:
    """The same result, whether the pair was ready or is made."""
    context, host, inside = wiring()
    pair = ready(context) if adopted else None
    run_plan(plan_plug(ENDPOINT, PORT, pair), context)
    outer = host.link("svrandom" if adopted else "sv0123456ffff")
    inner = inside.link("eth0")
    assert (outer.alias, outer.master, outer.up, outer.mtu) == (
        f"sampan:sampan0:{ID}",
        2,
        True,
        1400,
    )
    assert (inner.mac, inner.up) == ("02:42:ac:11:00:02", True)
    assert [(str(x.address), x.prefix) for x in inside.addresses()] == [("172.17.0.2", 16)]
    assert [str(x.gateway) for x in inside.ways] == ["172.17.0.1"]


def test_the_host_end_is_raised_before_the_inner_one() -> None:
    """So that the inner one finds a carrier when it is raised."""
    context, host, inside = wiring()
    ready(context)
    raised = [details for name, details in host.calls if name == "set_link"][-1]
    assert raised == ("svrandom", {"flags": 1, "operstate": 6, "alias": "sampan:sampan0:ready"})
    assert [name for name, _ in inside.calls] == ["set_link"]


CALLS = [
    *((False, "host", n) for n in range(2)),  # create, raise and mark
    *((False, "inside", n) for n in range(4)),  # raise, MAC, address, route
    (True, "host", 0),  # mark
    *((True, "inside", n) for n in range(3)),
]


@pytest.mark.parametrize(("adopted", "side", "call"), CALLS)
def test_each_call_fails_once(adopted: bool, side: str, call: int) -> None:
    """The pair is gone on both sides, whoever made it."""
    context, host, inside = wiring()
    steps = plan_plug(ENDPOINT, PORT, ready(context) if adopted else None)
    failing = host if side == "host" else inside
    failing.fail_at = len(failing.calls) + call
    with pytest.raises(OSError, match="injected"):
        run_plan(steps, context)
    assert [link.name for link in host.links()] == ["lo", "sampan0"]
    assert [link.name for link in inside.links()] == ["lo"]
    assert inside.addresses() == []


def test_a_cut_wire() -> None:
    """Down, when it is there and ours; anything else with that name is not touched."""
    context, host, _ = wiring()
    pair = ready(context)
    cut_wire(host, "svrandom", "somebody else's")
    assert host.link(pair.host_index).up
    cut_wire(host, "svrandom", link_alias("sampan0", "ready"))
    assert not host.link(pair.host_index).up
    cut_wire(host, "svnothing", "")


def test_waiting_for_the_link_watch_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks until packets pass, and not for ever."""
    _, host, _ = wiring()
    asked: list[int] = []
    link = host.link("sampan0")

    class Slow(FakeLinks):
        def link(self, link_: int | str):  # type: ignore[no-untyped-def]
            asked.append(1)
            return replace(link, operstate=6 if len(asked) > 3 and patient else 2)

    patient = True
    wait_operational(Slow(), 2)
    assert len(asked) == 4
    patient = False
    monkeypatch.setattr("sampan.network.wiring.LINK_WATCH_PATIENCE", 0.3)
    wait_operational(Slow(), 2)
    assert len(asked) >= 5


def test_names_and_marks() -> None:
    """Within the kernel's 15 characters; a mark tells the bridge and the container."""
    assert len(ENDPOINT.host_interface) <= 15
    assert owner(link_alias("br", ID), "br") == ID
    assert owner(link_alias("br", ID), "b") is None
    assert owner("sampan:br", "br") is None
    assert owner("", "br") is None
