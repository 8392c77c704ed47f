"""Verifies in which order a container with an egress policy gets and loses its links."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sampan.engine import start
from sampan.engine.network import connect, names, plugs
from sampan.engine.network.connect import connect_network
from sampan.engine.network.create import create_network
from sampan.engine.network.records import NetworkRecord
from sampan.engine.records import ContainerRecord
from sampan.spec.egress import LABEL
from tests.fakes.networks import FakeBridge
from tests.fakes.rooms import Rooms


async def run(rooms: Rooms, monkeypatch: pytest.MonkeyPatch, **options: Any) -> ContainerRecord:
    await rooms.create("web", **options)
    await start.start_container(rooms.services, "web")

    async def tell(services: object, record: ContainerRecord) -> None:
        rooms.networks.namings[record.id] = names.naming_of(rooms.services, record)

    monkeypatch.setattr(names, "tell", tell)  # there is no process whose namespace it could open
    monkeypatch.setattr(connect, "open_namespace", lambda record: os.open("/dev/null", os.O_RDONLY))
    return rooms.record("web")


@pytest.mark.parametrize("policy", [{LABEL: "none"}, {}])
async def test_connect(
    policy: dict[str, str], rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link of a container with a policy is down until the policy has heard of it; others' (the control) is
    up at once."""
    record = await run(rooms, monkeypatch, labels=policy)
    network = await create_network(rooms.services, NetworkRecord(id="", name="n1", created=0))
    bridge = rooms.networks.bridges[network.id]
    seen: list[tuple[bool, bool]] = []

    async def watched(endpoint: Any, known: Any = FakeBridge.bring_up) -> None:
        egress = rooms.networks.namings[record.id].egress
        assert egress is not None
        seen.append((bridge.up, endpoint.mac in {link.mac for link in egress.links}))
        await known(bridge, endpoint)

    monkeypatch.setattr(bridge, "bring_up", watched)
    await connect_network(rooms.services, "n1", "web", None)
    assert seen == ([(False, True)] if policy else [])
    assert bridge.up


async def test_the_end(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    """The links are cut before the policy goes: others may live on in the namespace."""
    record = await run(rooms, monkeypatch, labels={LABEL: "none"})
    seen: list[bool] = []
    forget = rooms.networks.forget_names

    async def watched(owner: str) -> None:
        seen.append(record.id in rooms.networks.bridge_of_all.plugged)
        await forget(owner)

    monkeypatch.setattr(rooms.networks, "forget_names", watched)
    await plugs.release(rooms.services, record)
    assert seen == [False]
