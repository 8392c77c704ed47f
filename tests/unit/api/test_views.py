"""Views against what dockerd 20.10 (API 1.41) answered for the same containers, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.api import encode, versions
from sampan.api.decode import converter, decode
from sampan.api.exec import view as exec_view
from sampan.api.versions import FIELDS, Version
from sampan.api.views import containers, events, images, storage
from sampan.api.views.durations import human
from sampan.engine import times
from sampan.engine.events import Event
from sampan.engine.query import Sizes
from sampan.engine.records import (
    ContainerRecord,
    Endpoint,
    ExecRecord,
    Health,
    MountPoint,
    State,
)
from sampan.spec.container import ContainerConfig, HostConfig, NetworkingConfig
from sampan.spec.digest import Digest
from sampan.spec.image import History, ImageConfig, RootFS
from sampan.spec.mount import Mount
from sampan.store.images import HistoryEntry, Image
from tests.fakes.engine import record, running

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "api" / "dockerd-20.10.json").read_text()
)
V1_41 = Version(1, 41)

# Where we differ from dockerd 20.10 on purpose: what is another engine's own, and published ports.
OURS = (
    "GraphDriver",
    "NetworkSettings.Ports",
    "NetworkSettings.SandboxID",
    "NetworkSettings.SandboxKey",
    "ExecIDs",
)


def from_golden(body: dict[str, Any]) -> ContainerRecord:
    """The record of a container that dockerd showed as `body`."""
    state = body["State"]
    endpoints = {
        name: Endpoint(
            network_id=settings["NetworkID"],
            endpoint_id=settings["EndpointID"],
            address=settings["IPAddress"],
            prefix=settings["IPPrefixLen"],
            gateway=settings["Gateway"],
            mac=settings["MacAddress"],
        )
        for name, settings in body["NetworkSettings"]["Networks"].items()
    }
    return ContainerRecord(
        id=body["Id"],
        name=body["Name"][1:],
        created=times.from_text(body["Created"]),
        path=body["Path"],
        args=tuple(body["Args"]),
        config=decode(json.dumps(body["Config"]).encode(), ContainerConfig),
        host_config=decode(json.dumps(body["HostConfig"]).encode(), HostConfig),
        networking=NetworkingConfig(),
        image_id=body["Image"],
        image_name=body["Config"]["Image"],
        mounts=tuple(mount_point(mount) for mount in body["Mounts"]),
        state=State(state["Status"]),
        pid=state["Pid"],
        exit_code=state["ExitCode"],
        error=state["Error"],
        started_at=times.from_text(state["StartedAt"]),
        finished_at=times.from_text(state["FinishedAt"]),
        health=Health() if "Health" in state else None,
        endpoints=endpoints,
        log_path=body["LogPath"],
        hostname_path=body["HostnamePath"],
        hosts_path=body["HostsPath"],
        resolv_conf_path=body["ResolvConfPath"],
    )


def mount_point(body: dict[str, Any]) -> MountPoint:
    return MountPoint(
        type=body["Type"],
        destination=body["Destination"],
        source=body["Source"],
        name=body.get("Name", ""),
        driver=body.get("Driver", ""),
        mode=body["Mode"],
        read_write=body["RW"],
        propagation=body["Propagation"],
    )


def without(body: dict[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    body = json.loads(json.dumps(body))
    for path in paths:
        *steps, last = path.split(".")
        holder = body
        for step in steps:
            holder = holder[step]
        del holder[last]
    return body


@pytest.mark.parametrize("name", ["inspect_running", "inspect_created", "inspect_exited"])
def test_inspect_is_dockerds(name: str) -> None:
    """Every field of three containers: one with many options, one never started, one that failed."""
    golden = GOLDEN[name]
    sizes = Sizes(golden["SizeRw"], golden["SizeRootFs"]) if "SizeRw" in golden else None
    body = containers.inspect(from_golden(golden), sizes=sizes)
    # What is in effect, dockerd writes into HostConfig (as the engine does, before it makes a record).
    versions.fit("ContainerInspect", body, Version(1, 41))
    assert without(json.loads(encode.json(body)), OURS) == without(golden, OURS)


@pytest.mark.parametrize("name", ["running", "created", "exited"])
def test_list_is_dockerds(name: str) -> None:
    """The same containers in a list, but for published ports."""
    inspected = from_golden(GOLDEN[f"inspect_{name}"])
    golden = next(body for body in GOLDEN["list"] if body["Id"] == inspected.id)
    # A stopped one's list entry names its network differently from its inspect, in dockerd.
    now = inspected.created + 500_000_000
    body = containers.summary(inspected, now=now, image="busybox")
    versions.fit("ContainerSummary", body, V1_41)
    body = json.loads(encode.json(body))
    unstable = ("Ports", "Status", "Mounts")
    assert without(body, unstable) == without(golden, unstable)
    assert sorted(body["Mounts"], key=str) == sorted(golden["Mounts"], key=str)
    if name != "running":
        assert body["Status"] == golden["Status"]


def test_exec_is_dockerds() -> None:
    """A running exec."""
    golden = GOLDEN["exec"]
    process = golden["ProcessConfig"]
    shown = exec_view(
        ExecRecord(
            id=golden["ID"],
            container_id=golden["ContainerID"],
            arguments=(process["entrypoint"], *process["arguments"]),
            user=process["user"],
            attach_stdout=golden["OpenStdout"],
            attach_stderr=golden["OpenStderr"],
            running=True,
            pid=golden["Pid"],
        )
    )
    assert shown == golden


def test_image_is_dockerds() -> None:
    """Inspect, list and history of an imported image."""
    golden, entry = GOLDEN["image"], GOLDEN["history"][0]
    image = Image(
        id=Digest(golden["Id"]),
        config=ImageConfig(
            architecture=golden["Architecture"],
            os=golden["Os"],
            created=golden["Created"],
            comment=golden["Comment"],
            docker_version=golden["DockerVersion"],
            config=ContainerConfig(cmd=["sh"]),
            rootfs=RootFS(diff_ids=golden["RootFS"]["Layers"]),
            history=[History(comment=golden["Comment"])],
        ),
        raw_config=b"",
        manifest=None,
        names=("docker.io/library/busybox:latest",),
        chain=(Digest(golden["RootFS"]["Layers"][0]),),
        size=golden["Size"],
        created=golden["Created"],
        tagged=golden["Metadata"]["LastTagTime"],
    )
    body = images.inspect(image, graph_driver=golden["GraphDriver"])
    versions.fit("ImageInspect", body, V1_41)
    assert json.loads(encode.json(body)) == golden
    listed = images.summary(image, containers=-1, old_names=True)
    versions.fit("ImageSummary", listed, V1_41)
    # An absent list is [] for us, whatever the version.
    assert json.loads(encode.json(listed)) == {**GOLDEN["images"][0], "RepoDigests": []}
    shown = images.history(
        HistoryEntry(
            golden["Id"],
            golden["Created"],
            "",
            ("busybox:latest",),
            golden["Size"],
            entry["Comment"],
        )
    )
    assert shown == entry


def test_events_are_dockerds() -> None:
    """The last one of each kind, in the form with `status`, `id` and `from`."""
    for golden in GOLDEN["events"]:
        actor = golden["Actor"]
        body = events.event(
            Event(
                golden["Type"],
                golden["Action"],
                actor["ID"],
                actor["Attributes"],
                golden["timeNano"],
            )
        )
        assert json.loads(encode.json(body)) == golden


def test_an_image_without_a_name() -> None:
    """<none> before API 1.43, empty lists since; a date that is none is 0."""
    image = Image(Digest("sha256:" + "a" * 64), ImageConfig(), b"", None, (), (), 1, "", "")
    old = images.summary(image, containers=-1, old_names=True)
    assert (old["RepoTags"], old["RepoDigests"]) == (["<none>:<none>"], ["<none>@<none>"])
    new = images.summary(image, containers=0, old_names=False)
    assert (new["RepoTags"], new["RepoDigests"], new["Created"]) == ([], [], 0)
    body = images.inspect(image, graph_driver={})
    versions.fit("ImageInspect", body, versions.NEWEST)
    assert "Created" not in body
    assert "Cmd" not in body["Config"]


SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"), (0.9, "Less than a second"), (1, "1 second"), (59.9, "59 seconds"),
        (60, "About a minute"), (119, "About a minute"), (120, "2 minutes"), (3599, "59 minutes"),
        (3600, "About an hour"), (5399, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"), (13 * 86400, "13 days"), (14 * 86400, "2 weeks"), (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"), (729 * 86400, "24 months"), (730 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_durations_are_in_dockers_words(seconds: float, text: str) -> None:
    """go-units' HumanDuration, with its borders."""
    assert human(int(seconds * SECOND)) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Created"),
        ({"state": State.RUNNING, "started_at": 97 * SECOND}, "Up 3 seconds"),
        ({"state": State.PAUSED, "started_at": 97 * SECOND}, "Up 3 seconds (Paused)"),
        ({"state": State.RUNNING, "started_at": 97 * SECOND, "health": Health()}, "Up 3 seconds (health: starting)"),
        ({"state": State.RUNNING, "started_at": 97 * SECOND, "health": Health(status="healthy")}, "Up 3 seconds (healthy)"),
        ({"state": State.RUNNING, "started_at": 97 * SECOND, "health": Health(status="none")}, "Up 3 seconds"),
        ({"state": State.RESTARTING, "started_at": SECOND, "finished_at": 99 * SECOND, "exit_code": 2}, "Restarting (2) 1 second ago"),
        ({"state": State.REMOVING}, "Removal In Progress"),
        ({"state": State.DEAD}, "Dead"),
        ({"state": State.EXITED, "started_at": SECOND, "finished_at": 40 * SECOND, "exit_code": 137}, "Exited (137) About a minute ago"),
        ({"state": State.EXITED, "started_at": SECOND}, ""),
    ],
)  # fmt: skip
def test_status_texts(changes: dict[str, Any], text: str) -> None:
    """What the STATUS column shows."""
    assert containers.status(record("a", **changes), now=100 * SECOND) == text


@pytest.mark.parametrize(
    ("state", "true"),
    [
        (State.CREATED, set()),
        (State.RUNNING, {"Running"}),
        (State.PAUSED, {"Running", "Paused"}),
        (State.RESTARTING, {"Running", "Restarting"}),
        (State.EXITED, set()),
        (State.REMOVING, set()),
        (State.DEAD, {"Dead"}),
    ],
)
def test_the_booleans_of_a_state(state: State, true: set[str]) -> None:
    """Computed, as dockerd has them; only a live container has a pid."""
    body = containers.state(record("a", state=state, pid=5))
    assert {name for name in body if body[name] is True} == true
    assert body["Pid"] == (5 if state.alive else 0)
    assert body["Status"] == state.value


def test_commands_are_quoted_as_dockerd_does() -> None:
    """Only arguments with spaces, and only in single quotes."""
    assert containers.command("sh", ("-c", 'echo "hi there"', "")) == "sh -c 'echo \"hi there\"' "
    assert containers.command("a b", ()) == "a b"


def test_exposed_ports_are_shown_while_it_runs() -> None:
    """Without a host's port: nothing is published."""
    config = ContainerConfig(exposed_ports={"80/tcp": {}, "53/udp": {}, "odd": {}})
    shown = containers.inspect(running("a", config=config))["NetworkSettings"]
    assert shown["Ports"] == {"53/udp": None, "80/tcp": None, "odd": None}
    assert shown["SandboxKey"] == "/proc/4711/ns/net"
    body = containers.summary(running("a", config=config), now=0, image="x")
    assert body["Ports"] == [{"PrivatePort": 53, "Type": "udp"}, {"PrivatePort": 80, "Type": "tcp"}]
    assert containers.inspect(record("a", config=config))["NetworkSettings"]["Ports"] == {}


@pytest.mark.parametrize("mode", ["host", "none", "container:abc"])
def test_host_and_none_are_networks_without_addresses(mode: str) -> None:
    """As dockerd shows them; who joins another container's has none of its own."""
    host = HostConfig(network_mode=mode)
    shown = containers.inspect(running("a", host_config=host, endpoints={}))["NetworkSettings"]
    listed = containers.summary(record("a", host_config=host, endpoints={}), now=0, image="x")
    networks = listed["NetworkSettings"]["Networks"]
    if mode.startswith("container:"):
        assert shown["Networks"] == networks == {}
        return
    assert networks[mode]["NetworkID"] == ""
    assert len(shown["Networks"][mode]["NetworkID"]) == 64
    assert shown["Networks"][mode]["IPAddress"] == ""


def test_graph_driver() -> None:
    """From the mount of the root file system, topmost layer first."""
    options = ("lowerdir=/b", "lowerdir=/a", "upperdir=/u", "workdir=/w")
    assert storage.graph_driver("overlay2", [Mount("overlay", "overlay", options)]) == {
        "Name": "overlay2",
        "Data": {"LowerDir": "/b:/a", "UpperDir": "/u", "WorkDir": "/w"},
    }
    assert storage.graph_driver("overlay2", []) == {"Name": "overlay2", "Data": None}


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_every_version_can_be_made_of_every_view(kind: str) -> None:
    """The table only names fields that some view has or may have, and never fails."""
    for minor in range(24, 56):
        body: dict[str, Any] = {}
        versions.fit(kind, body, Version(1, minor))
        assert body == {}


@pytest.mark.parametrize(
    ("version", "there"),
    [(24, {"VirtualSize", "Container"}), (44, {"Container"}), (45, set()), (55, set())],
)
def test_fields_come_and_go_with_versions(version: int, there: set[str]) -> None:
    """A field is there from `since` on and before `until`; lists of views are treated alike."""
    body = {"VirtualSize": 1, "Container": "", "Config": {"Hostname": "", "Cmd": []}, "Parent": ""}
    bodies = [body, json.loads(json.dumps(body))]
    versions.fit("ImageInspect", bodies, Version(1, version))
    assert bodies[0] == bodies[1]
    assert bodies[0].keys() & {"VirtualSize", "Container"} == there
    assert ("Hostname" in body["Config"]) is (version < 50)
    assert ("Cmd" in body["Config"]) is ("Parent" in body) is (version < 52)


def test_specs_of_containers_survive_a_round_trip() -> None:
    """What inspect shows of a config can be sent back: the names on the wire are the same."""
    for shape in (ContainerConfig, HostConfig):
        names = {item.encode_name for item in msgspec.structs.fields(shape)}
        assert converter(shape)({name.upper(): None for name in names}, "") == {}
