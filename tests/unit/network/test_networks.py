"""Verifies what the warden is told of names and policies, and when, with one that is told only."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from sampan.errors import SampanError
from sampan.linux.kernel import LinuxKernel
from sampan.linux.netns import NetworkThread
from sampan.network.config import NO_BRIDGE, NetworkConfig
from sampan.network.egress import Egress
from sampan.network.naming import Naming
from sampan.network.networks import Networks

PLAIN = Naming(places=(), links={})
HELD = Naming(places=(), links={}, egress=Egress("none"))


class ToldWarden:
    """`fail` names the verb that raises what is in it."""

    running = True

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.fail: dict[str, Exception] = {}
        self.on_start: list[Any] = []

    async def start(self) -> None:
        for work in self.on_start:
            await work()

    def request(self, verb: str, fds: Sequence[int] = (), **fields: Any) -> dict[str, Any]:
        if verb in self.fail:
            raise self.fail[verb]
        self.told.append((verb, fields))
        return {}

    def close(self) -> None:
        self.running = False


@pytest.fixture
async def networks() -> AsyncIterator[tuple[Networks, ToldWarden]]:
    config = NetworkConfig(bridge=NO_BRIDGE)
    made = Networks(NetworkThread(), LinuxKernel(), config, None)
    warden: Any = ToldWarden()
    made._warden = warden
    yield made, warden
    await made.stop()


async def serve(networks: Networks, owner: str, naming: Naming) -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        await networks.serve_names(owner, fd, naming)
    finally:
        os.close(fd)


async def test_who_is_kept(networks: tuple[Networks, ToldWarden]) -> None:
    """Whoever is being served while others reconcile; and who runs, though nothing could be restored for it."""
    room, warden = networks
    warden.on_start.append(lambda: room.reconcile(running={"b": True, "c": False}))
    await serve(room, "a", HELD)
    assert warden.told[0] == ("keep", {"owners": ["a", "b", "c"], "policed": ["a", "b"]})
    assert warden.told[1][0] == "resolver"
    warden.told.clear()
    await room.reconcile()
    assert warden.told == [("keep", {"owners": ["a"], "policed": ["a"]})]


async def test_a_change_that_was_not_told(networks: tuple[Networks, ToldWarden]) -> None:
    """What was told before is what counts; who was told of nothing is known all the same."""
    room, warden = networks
    await serve(room, "a", PLAIN)
    warden.fail["resolver"] = SampanError("no")
    for owner in ("a", "b"):
        with pytest.raises(SampanError):
            await serve(room, owner, HELD)
    del warden.fail["resolver"]
    warden.told.clear()
    await room.reconcile()
    assert warden.told == [("keep", {"owners": ["a", "b"], "policed": ["b"]})]


async def test_another_warden(networks: tuple[Networks, ToldWarden]) -> None:
    """It is told of everything, and then that this was all; also when one of them could not be told."""
    room, warden = networks
    for owner in ("a", "b"):
        await serve(room, owner, HELD)
    warden.told.clear()
    await room._hold_everything()
    assert [verb for verb, _ in warden.told] == ["resolver", "resolver", "keep"]
    assert warden.told[-1][1] == {"owners": ["a", "b"], "policed": ["a", "b"]}
    warden.told.clear()
    warden.fail["resolver"] = SampanError("no")
    await room._hold_everything()
    assert warden.told == [("keep", {"owners": ["a", "b"], "policed": ["a", "b"]})]
