"""Volumes and the networks that are always there, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sampan.engine.records import MountPoint
from tests.fakes.engine import identifier, record, running
from tests.unit.api.conftest import Api

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "api" / "dockerd-20.10.json").read_text()
)


def use(api: Api, volume: str) -> None:
    point = MountPoint(type="volume", destination="/v", name=volume)
    api.engine.add(record("user", mounts=(point,)))


async def test_a_volumes_life(api: Api) -> None:
    """Create (twice is once), look, refuse while in use, remove; each change is an event."""
    body = {"Name": "vol", "Labels": {"a": "b"}}
    created = await api.call("POST", "/volumes/create", body)
    assert created.status == 201
    assert created.json.keys() == GOLDEN["volumes"]["Volumes"][0].keys()
    assert (await api.call("POST", "/volumes/create", body)).json == created.json
    assert (await api.call("GET", "/volumes/vol")).json == created.json
    use(api, "vol")
    answer = await api.call("DELETE", "/volumes/vol")
    assert answer.status == 409
    assert answer.message == f"remove vol: volume is in use - [{identifier('user')}]"
    api.engine.records.clear()
    assert (await api.call("DELETE", "/volumes/vol")).status == 204
    answer = await api.call("DELETE", "/volumes/vol")
    assert (answer.status, answer.message) == (404, "get vol: no such volume")
    assert (await api.call("DELETE", "/volumes/vol?force=1")).status == 204
    now = api.engine.events.now() // 10**9 + 1
    lines = (await api.call("GET", f"/events?since=1&until={now - 1}.9")).body.splitlines()
    assert [json.loads(line)["Action"] for line in lines] == ["create", "destroy"]


async def test_lists_of_volumes(api: Api) -> None:
    """By name, label, driver, and whether anybody uses them."""
    for name, labels in (("one", {"a": "b"}), ("two", None)):
        await api.call("POST", "/volumes/create", {"Name": name, "Labels": labels})
    use(api, "one")
    for filters, names in (
        ({}, ["one", "two"]),
        ({"name": ["w"]}, ["two"]),
        ({"label": ["a=b"]}, ["one"]),
        ({"label": {"a": True}}, ["one"]),
        ({"driver": ["other"]}, []),
        ({"dangling": ["true"]}, ["two"]),
        ({"dangling": ["0"]}, ["one"]),
    ):
        answer = await api.call("GET", f"/volumes?filters={json.dumps(filters).replace(' ', '')}")
        assert [body["Name"] for body in answer.json["Volumes"]] == names, filters
    answer = await api.call("GET", '/volumes?filters={"x":["y"]}')
    assert (answer.status, answer.message) == (400, "invalid filter 'x'")


async def test_prune_takes_anonymous_volumes_only(api: Api) -> None:
    """Unless the client is older than 1.42 or says `all`; never one in use."""
    for version, filters, gone in (
        ("1.42", "{}", ["f" * 64]),
        ("1.42", '{"all":["true"]}', ["one", "two", "f" * 64]),
        ("1.41", "{}", ["one", "two", "f" * 64]),
        ("1.55", '{"all":["1"],"label!":["a"]}', ["two", "f" * 64]),
    ):
        for name in ("one", "two", ""):
            labels = {"a": "b"} if name == "one" else {}
            await api.call("POST", "/volumes/create", {"Name": name, "Labels": labels})
        answer = await api.call("POST", f"/v{version}/volumes/prune?filters={filters}")
        assert sorted(answer.json["VolumesDeleted"]) == sorted(gone), (version, filters)
    await api.call("POST", "/volumes/create", {"Name": "one"})
    use(api, "one")
    answer = await api.call("POST", '/volumes/prune?filters={"all":["1"]}')
    assert "one" not in answer.json["VolumesDeleted"]


async def test_networks(api: Api) -> None:
    """bridge, host and none; by name, id and its beginning; with who is plugged in."""
    api.engine.add(running("a"), record("b"))
    networks = (await api.call("GET", "/networks")).json
    assert [body["Name"] for body in networks] == ["bridge", "host", "none"]
    assert networks[0]["IPAM"]["Config"] == [{"Subnet": "172.30.99.0/24", "Gateway": "172.30.99.1"}]
    assert "EnableIPv4" not in (await api.call("GET", "/v1.47/networks")).json[0]
    for ref in ("bridge", networks[0]["Id"], networks[0]["Id"][:10]):
        shown = (await api.call("GET", f"/networks/{ref}")).json
        assert shown["Id"] == identifier("bridge")
    assert shown["Containers"].keys() == {identifier("a")}
    assert shown["Containers"][identifier("a")]["IPv4Address"] == "172.30.99.2/24"
    answer = await api.call("GET", "/networks/nope")
    assert (answer.status, answer.message) == (404, "network nope not found")


async def test_filters_of_networks(api: Api) -> None:
    """dockerd's keys."""
    for filters, names in (
        ('{"driver":["null"]}', ["none"]),
        ('{"name":["o"]}', ["host", "none"]),
        ('{"type":["builtin"]}', ["bridge", "host", "none"]),
        ('{"type":["custom"]}', []),
        ('{"dangling":["1"]}', []),
    ):
        answer = await api.call("GET", f"/networks?filters={filters}")
        assert [body["Name"] for body in answer.json] == names, filters
    assert (await api.call("GET", '/networks?filters={"type":["x"]}')).status == 400


async def test_the_built_in_networks_stay(api: Api) -> None:
    """They cannot be removed, made again, or pruned."""
    answer = await api.call("POST", "/networks/create", {"Name": "bridge"})
    assert (answer.status, answer.message) == (
        403,
        "operation is not permitted on predefined bridge network",
    )
    answer = await api.call("DELETE", "/networks/host")
    assert (answer.status, answer.message) == (
        403,
        "host is a pre-defined network and cannot be removed",
    )
    assert (await api.call("POST", "/networks/prune")).json == {"NetworksDeleted": None}


async def test_a_network_of_a_user(api: Api) -> None:
    """Made, shown with what was asked, found by a filter, removed."""
    body = {
        "Name": "one",
        "Labels": {"a": "b"},
        "Options": {"com.docker.network.driver.mtu": "1400"},
        "IPAM": {"Config": [{"Subnet": "10.55.0.0/24", "IPRange": "10.55.0.128/25"}]},
    }
    answer = await api.call("POST", "/networks/create", body)
    assert answer.status == 201
    shown = (await api.call("GET", "/networks/one")).json
    assert shown["Id"] == answer.json["Id"]
    assert shown["IPAM"]["Config"] == [
        {"Subnet": "10.55.0.0/24", "IPRange": "10.55.0.128/25", "Gateway": "10.55.0.1"}
    ]
    assert shown["Options"] == body["Options"]
    answer = await api.call("GET", '/networks?filters={"label":["a=b"]}')
    assert [each["Name"] for each in answer.json] == ["one"]
    assert (await api.call("POST", "/networks/create", body)).status == 409
    assert (await api.call("DELETE", "/networks/one")).status == 204
    assert (await api.call("GET", "/networks/one")).status == 404


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"Name": "x", "Driver": "nope"}, 404, 'plugin "nope" not found'),
        ({"Name": "x", "Driver": "host"}, 403, 'only one instance of "host" network is allowed'),
        ({"Name": " "}, 400, "invalid network name: name is empty"),
        (
            {"Name": "x", "IPAM": {"Config": [{"Subnet": "junk"}]}},
            400,
            "Invalid subnet junk : invalid CIDR address: junk",
        ),
        (
            {"Name": "x", "IPAM": {"Config": [{"Subnet": "172.30.99.128/25"}]}},
            403,
            "Pool overlaps with other one on this address space",
        ),
        (
            {"Name": "x", "IPAM": {"Config": [{"Subnet": "10.1.0.0/24", "Gateway": "10.2.0.1"}]}},
            400,
            "no matching subnet for gateway 10.2.0.1",
        ),
        (
            {"Name": "x", "ConfigFrom": {"Network": "c"}},
            400,
            'configuration network "c" does not exist',
        ),
        ({"Name": "x", "Ingress": True}, 400, "Ingress network can only be global scope network"),
    ],
)
async def test_networks_that_cannot_be(
    api: Api, body: dict[str, Any], status: int, message: str
) -> None:
    """Docker's status and words, and nothing is left."""
    answer = await api.call("POST", "/networks/create", body)
    assert (answer.status, answer.message) == (status, message)
    assert len((await api.call("GET", "/networks")).json) == 3
