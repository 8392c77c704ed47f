"""Containers, execs, images and the system over HTTP: what reaches the engine, and what comes back."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from typing import Any

import pytest
from aiohttp import web

from sampan.engine.attach import AttachOptions
from sampan.engine.exec import ExecRequest
from sampan.engine.logs import LogOptions
from sampan.engine.records import State
from tests.fakes.engine import IMAGE, identifier, record, running
from tests.unit.api.conftest import Api, eventually, read_answer, read_chunk


def last(api: Api, verb: str) -> dict[str, Any]:
    return next(arguments for name, arguments in reversed(api.engine.calls) if name == verb)


async def test_create(api: Api) -> None:
    """Body and query reach the engine; the id and the warnings come back."""
    body = {
        "Image": "busybox",
        "Cmd": ["true"],
        "HostConfig": {"AutoRemove": True, "PidsLimit": -1},
        "NetworkingConfig": {"EndpointsConfig": {"bridge": {"Aliases": ["x"]}}},
    }
    answer = await api.call("POST", "/v1.50/containers/create?name=n&platform=linux/amd64", body)
    assert answer.status == 201
    assert answer.json == {"Id": identifier("n"), "Warnings": ["a warning"]}
    sent = last(api, "create")
    assert (sent["name"], sent["platform"], sent["config"].image) == ("n", "linux/amd64", "busybox")
    assert sent["host_config"].auto_remove
    assert sent["host_config"].pids_limit is None
    assert sent["networking"].endpoints_config["bridge"].aliases == ["x"]
    again = await api.call("POST", "/containers/create?name=n", body)
    assert (again.status, again.message[:9]) == (409, "Conflict.")


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        (b"{}", {"Content_Type": "text/plain"}, "unsupported Content-Type header (text/plain): must be 'application/json'"),
        (b"", {"Content_Type": "application/json"}, "invalid JSON: got EOF while reading request body"),
        (b"{", {"Content_Type": "application/json"}, "invalid JSON: unexpected EOF"),
        (b"[" * 100_000, {"Content_Type": "application/json"}, "invalid JSON: exceeded max depth"),
    ],
)  # fmt: skip
async def test_bad_bodies_of_create(
    api: Api, body: bytes, headers: dict[str, str], text: str
) -> None:
    """400 with a reason; the engine is not asked."""
    answer = await api.call("POST", "/containers/create", body, **headers)
    assert (answer.status, answer.message) == (400, text)
    assert api.engine.calls == []


MOUNT = {"Target": "/t", "Type": "bind", "BindOptions": {"CreateMountpoint": True}}


@pytest.mark.parametrize(
    ("version", "body", "check"),
    [
        ("1.24", {"HostConfig": {"AutoRemove": True}}, lambda host: not host.auto_remove),
        ("1.39", {}, lambda host: host.ipc_mode == "shareable"),
        ("1.40", {}, lambda host: host.ipc_mode == "" and host.cgroupns_mode == "host"),
        ("1.41", {}, lambda host: host.cgroupns_mode == ""),
        ("1.41", {"HostConfig": {"ConsoleSize": [1, 2]}}, lambda host: host.console_size is None),
        ("1.42", {"HostConfig": {"ConsoleSize": [1, 2]}}, lambda host: host.console_size == [1, 2]),
        ("1.42", {"HostConfig": {"Annotations": {"a": "b"}}}, lambda host: host.annotations is None),
        ("1.41", {"HostConfig": {"Mounts": [MOUNT]}}, lambda host: not host.mounts[0].bind_options.create_mountpoint),
        ("1.42", {"HostConfig": {"Mounts": [MOUNT]}}, lambda host: host.mounts[0].bind_options.create_mountpoint),
        ("1.41", {"HostConfig": {"Mounts": [MOUNT | {"TmpfsOptions": {}}]}}, lambda host: host.mounts[0].tmpfs_options is None),
        ("1.42", {"HostConfig": {"Mounts": [MOUNT | {"TmpfsOptions": {}}]}}, 'TmpfsOptions must not be specified on mount type "bind"'),
        ("1.44", {"HostConfig": {"Mounts": [{"Type": "volume", "VolumeOptions": {"Subpath": "x"}}]}}, "VolumeOptions.Subpath needs API v1.45 or newer"),
        ("1.43", {"HostConfig": {"Mounts": [{"Type": "bind", "BindOptions": {"ReadOnlyForceRecursive": True}}]}}, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer"),
        ("1.47", {"HostConfig": {"Mounts": [{"Type": "image"}]}}, 'Mount type "Image" needs API v1.48 or newer'),
        ("1.43", {"NetworkingConfig": {"EndpointsConfig": {"a": {}, "b": {}}}}, "Container cannot be created with multiple network endpoints: a, b"),
        ("1.52", {"HostConfig": {"PortBindings": {"1/tcp": []}}}, lambda host: len(host.port_bindings["1/tcp"]) == 1),
        ("1.53", {"HostConfig": {"PortBindings": {"1/tcp": []}}}, lambda host: host.port_bindings == {}),
    ],
)  # fmt: skip
async def test_old_clients_are_understood(
    api: Api, version: str, body: dict[str, Any], check: Any
) -> None:
    """Their requests are put into today's terms at the edge; what their version lacks is refused or ignored."""
    answer = await api.call("POST", f"/v{version}/containers/create", body)
    if isinstance(check, str):
        assert (answer.status, answer.message) == (400, check)
    else:
        assert answer.status == 201
        assert check(last(api, "create")["host_config"])


async def test_list_and_inspect(api: Api) -> None:
    """Options reach the engine; the image's name is shown while it means the image."""
    api.engine.add(
        running("a"), record("b", image_name="gone"), record("c", image_id="sha256:other")
    )
    answer = await api.call(
        "GET", '/v1.55/containers/json?all=1&limit=3&size=1&filters={"label":["a"]}&before=a'
    )
    assert [body["Names"] for body in answer.json] == [["/a"], ["/b"], ["/c"]]
    assert [body["Image"] for body in answer.json] == ["busybox", IMAGE.id, "sha256:other"]
    assert answer.json[0]["Status"] == "Up 3 seconds"
    assert answer.json[0]["SizeRw"] == 12
    assert answer.json[0]["Health"] == {"Status": "none", "FailingStreak": 0}
    assert last(api, "list") == {
        "everything": True,
        "limit": 3,
        "filters": {"label": ["a"], "before": ["a"]},
    }
    assert "Health" not in (await api.call("GET", "/v1.51/containers/json")).json[0]
    shown = (await api.call("GET", "/containers/a/json?size=1")).json
    assert (shown["Name"], shown["SizeRootFs"], shown["State"]["Running"]) == ("/a", 1984362, True)
    assert shown["GraphDriver"]["Data"]["LowerDir"] == "/a:/b"
    assert "IPAddress" not in shown["NetworkSettings"]
    old = (await api.call("GET", "/v1.51/containers/a/json")).json
    assert old["NetworkSettings"]["IPAddress"] == "172.30.99.2"


@pytest.mark.parametrize(
    ("method", "path", "verb", "options", "status"),
    [
        ("POST", "start", "start", {}, 204),
        ("POST", "stop?t=3&signal=INT", "stop", {"signal": "INT", "grace": 3}, 204),
        ("POST", "stop", "stop", {"signal": "", "grace": None}, 204),
        ("POST", "restart?t=-1", "restart", {"signal": "", "grace": -1}, 204),
        ("POST", "kill?signal=9", "kill", {"signal": "9"}, 204),
        ("POST", "pause", "pause", {}, 204),
        ("POST", "unpause", "unpause", {}, 204),
        ("POST", "rename?name=b", "rename", {"name": "b"}, 204),
        ("POST", "resize?h=24&w=80", "resize", {"height": 24, "width": 80}, 200),
        (
            "DELETE",
            "?v=1&force=true",
            "remove",
            {"volumes": True, "force": True, "link": False},
            204,
        ),
    ],
)
async def test_verbs(
    api: Api, method: str, path: str, verb: str, options: dict[str, Any], status: int
) -> None:
    """One route, one verb."""
    api.engine.add(record("a", state=State.EXITED))
    slash = "" if path.startswith("?") else "/"
    answer = await api.call(method, f"/v1.50/containers/a{slash}{path}")
    assert (answer.status, answer.body) == (status, b"")
    assert last(api, verb) == {"ref": "a", **options}
    missing = await api.call(method, f"/containers/x{slash}{path}")
    assert (missing.status, missing.message) == (404, "No such container: x")


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/containers/a/stop?t=x", 'strconv.Atoi: parsing "x": invalid syntax'),
        ("/containers/a/resize?h=x&w=1", 'invalid resize height "x": invalid syntax'),
        ("/containers/a/resize?h=1", 'invalid resize width "": invalid syntax'),
        ("/containers/a/wait?condition=never", 'invalid condition: "never"'),
    ],
)
async def test_bad_parameters(api: Api, target: str, text: str) -> None:
    """400 with the parameter's name."""
    api.engine.add(record("a"))
    answer = await api.call("POST", target)
    assert (answer.status, answer.message) == (400, text)


async def test_start_takes_no_body(api: Api) -> None:
    """A HostConfig at start is refused since 1.24; starting what runs is a 304 without a body."""
    api.engine.add(record("a"))
    answer = await api.call("POST", "/containers/a/start", {"Binds": ["/a:/b"]})
    assert (answer.status, answer.message[:39]) == (400, "starting container with non-empty reque")
    assert (await api.call("POST", "/containers/a/start", b"{}")).status == 204
    answer = await api.call("POST", "/containers/a/start")
    assert (answer.status, answer.body) == (304, b"")


async def test_wait_sends_its_head_before_the_result(api: Api) -> None:
    """So a client knows that the wait is registered, and may start the container."""
    api.engine.add(running("a"))
    reader, writer = await api.open()
    writer.write(b"POST /v1.50/containers/a/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: application/json\r\n" in head
    assert last(api, "wait") == {"ref": "a", "condition": "next-exit"}
    api.engine.exit(identifier("a"), 3, "because")
    assert json.loads(await read_chunk(reader)) == {
        "StatusCode": 3,
        "Error": {"Message": "because"},
    }
    writer.close()
    await eventually(lambda: not api.engine.waiters)


async def logs(api: Api, target: str) -> tuple[str, bytes]:
    answer = await api.call("GET", target)
    return answer.headers["content-type"], answer.body


async def test_logs(api: Api) -> None:
    """Frames without a terminal, raw with one; the content type since 1.42; all options."""
    api.engine.add(running("a"), running("t", config=record("t").config.__class__(tty=True)))
    api.engine.log = [(1, b"out\n"), (2, b"err\n")]
    target = "/containers/a/logs?stdout=1&stderr=1&since=5.5&until=7&tail=3&timestamps=1&details=1"
    frames = b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n"
    raw, multiplexed = (
        "application/vnd.docker.raw-stream",
        "application/vnd.docker.multiplexed-stream",
    )
    assert await logs(api, f"/v1.42{target}") == (multiplexed, frames)
    assert await logs(api, f"/v1.41{target}") == (raw, frames)
    assert last(api, "logs")["options"] == LogOptions(
        stdout=True, stderr=True, since=5_500_000_000, until=7_000_000_000, tail=3, timestamps=True, details=True
    )  # fmt: skip
    assert await logs(api, "/containers/t/logs?stdout=1&tail=all") == (raw, b"out\nerr\n")
    assert last(api, "logs")["options"].tail == -1
    answer = await api.call("GET", "/containers/a/logs")
    assert answer.message == "Bad parameters: you must choose at least one stream"


async def test_logs_follow_until_the_client_goes(api: Api) -> None:
    """What is there comes at once; a client that leaves closes the reader."""
    api.engine.add(running("a"))
    api.engine.log = [(1, b"x" * 100)] * 1000
    for leave in (False, True):
        reader, writer = await api.open()
        writer.write(b"GET /containers/a/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        got = b""
        while len(got) < 108_000:
            got += await read_chunk(reader)
        assert api.engine.log_closed == int(leave)
        if not leave:
            api.engine.follow.set()
            assert (await read_chunk(reader)).endswith(b"followed\n")
            assert await read_chunk(reader) == b""
            api.engine.follow.clear()
        writer.close()
        await eventually(lambda done=int(leave) + 1: api.engine.log_closed == done)


async def test_a_slow_reader_of_logs_costs_bounded_memory(api: Api) -> None:
    """Nobody reads: the engine's iterator is held back."""
    api.engine.add(running("a"))
    pulled = 0

    async def endless() -> Any:
        nonlocal pulled
        while True:
            pulled += 1
            yield 1, b"x" * 10_000
            if pulled % 100 == 0:
                await asyncio.sleep(0)

    api.engine._chunks = lambda options: endless()  # type: ignore[method-assign]
    _, writer = await api.open()
    writer.write(b"GET /containers/a/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    before = -1
    while before != pulled or not pulled:
        before = pulled
        await asyncio.sleep(0.1)
    assert pulled < 200
    writer.close()


async def test_events(api: Api) -> None:
    """The head at once, then a line an event; formats by version; the subscription ends with the client."""
    reader, writer = await api.open()
    writer.write(
        b'GET /v1.51/events?filters={"type":{"container":true}} HTTP/1.1\r\nHost: d\r\n\r\n'
    )
    assert b"Content-Type: application/json\r\n" in await reader.readuntil(b"\r\n\r\n")
    api.engine.events.emit("image", "tag", "i")
    api.engine.events.emit("container", "start", "c", {"image": "busybox"})
    event = json.loads(await read_chunk(reader))
    assert (event["status"], event["id"], event["from"]) == ("start", "c", "busybox")
    assert event["Actor"] == {"ID": "c", "Attributes": {"image": "busybox"}}
    assert api.engine.events.listeners == 1
    writer.close()
    await eventually(lambda: api.engine.events.listeners == 0)
    for version, accept, kind, begin in (
        ("1.55", "application/jsonl", "application/jsonl", b"{"),
        ("1.52", "application/jsonl, application/json-seq;q=1", "application/json-seq", b"\x1e{"),
        ("1.51", "application/x-ndjson", "application/json", b"{"),
    ):
        answer = await api.call("GET", f"/v{version}/events?since=1&until=2000000", Accept=accept)
        assert answer.headers["content-type"] == kind
        assert answer.body == b""
        now = api.engine.events.now() // 10**9
        answer = await api.call("GET", f"/v{version}/events?since=1&until={now}.9", Accept=accept)
        assert answer.body.startswith(begin)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/events?since=x", 'invalid value for "since"'),
        ("/events?filters=x", "invalid filters"),
        ('/events?filters={"nope":["a"]}', "invalid filter 'nope'"),
        ('/containers/json?filters={"a":1}', "invalid filters"),
        ("/containers/json?limit=abc", 'strconv.Atoi: parsing "abc": invalid syntax'),
    ],
)
async def test_bad_queries(api: Api, target: str, text: str) -> None:
    """400, before any stream begins."""
    answer = await api.call("GET", target)
    assert (answer.status, text in answer.message) == (400, True)


async def test_execs(api: Api) -> None:
    """Create, inspect, resize, start detached; wrong ids; no command."""
    api.engine.add(running("a"))
    body = {"Cmd": ["ls", "-l"], "User": "1", "Env": ["A=b"], "Tty": True, "ConsoleSize": [24, 80]}
    body |= {"AttachStdin": True, "DetachKeys": "ctrl-x", "WorkingDir": "/", "Privileged": True}
    answer = await api.call("POST", "/v1.42/containers/a/exec", body)
    assert answer.status == 201
    assert last(api, "create_exec")["request"] == ExecRequest(
        command=("ls", "-l"), user="1", env=("A=b",), tty=True, console_size=(24, 80),
        attach_stdin=True, detach_keys="ctrl-x", working_dir="/", privileged=True,
    )  # fmt: skip
    exec_id = answer.json["Id"]
    shown = (await api.call("GET", f"/exec/{exec_id}/json")).json
    assert (shown["ID"], shown["ProcessConfig"]["arguments"], shown["ExitCode"]) == (
        exec_id,
        ["-l"],
        3,
    )
    assert (await api.call("POST", f"/exec/{exec_id}/resize?h=1&w=2")).status == 200
    assert last(api, "resize_exec") == {"height": 1, "width": 2}
    answer = await api.call("POST", f"/exec/{exec_id}/start", {"Detach": True})
    assert (answer.status, answer.body) == (200, b"")
    for target in ("start", "resize?h=1&w=1"):
        answer = await api.call("POST", f"/exec/x/{target}", {"Detach": True})
        assert (answer.status, answer.message) == (404, "No such exec instance: x")
    answer = await api.call("POST", "/containers/a/exec", {"Cmd": []})
    assert (answer.status, answer.message) == (400, "No exec command specified")
    await api.call("POST", "/v1.41/containers/a/exec", body)
    assert last(api, "create_exec")["request"].console_size is None


async def test_images(api: Api) -> None:
    """List, inspect, history, tag, delete."""
    listed = (await api.call("GET", "/v1.51/images/json?all=1")).json
    assert listed[0]["Containers"] == 2
    assert "VirtualSize" not in listed[0]
    old = (await api.call("GET", "/v1.40/images/json?filter=busybox")).json
    assert (old[0]["Containers"], old[0]["VirtualSize"]) == (-1, 1984350)
    assert last(api, "list_images")["filters"] == {"reference": ["busybox"]}
    shown = (await api.call("GET", "/images/busybox/json")).json
    assert shown["RepoTags"] == ["busybox:latest"]
    assert shown["GraphDriver"] == {"Name": "overlay2", "Data": {"UpperDir": "/snapshots/layer/fs"}}
    assert (await api.call("GET", "/images/busybox/history")).json[0][
        "Comment"
    ] == "Imported from -"
    assert (await api.call("POST", "/images/busybox/tag?repo=a/b&tag=c")).status == 201
    assert last(api, "tag") == {"ref": "busybox", "repo": "a/b", "tag": "c"}
    answer = await api.call("DELETE", "/images/busybox?force=1&noprune=1")
    assert answer.json == [{"Untagged": "busybox:latest"}, {"Deleted": IMAGE.id}]
    assert last(api, "delete_image") == {"ref": "busybox", "force": True, "prune": False}


async def test_import(api: Api) -> None:
    """The body is the archive; a failure before anything was sent has its status."""
    target = "/images/create?fromSrc=-&repo=a&tag=b&message=m&changes=ENV+A%3Db&changes=CMD+x&platform=linux"
    answer = await api.call("POST", target, b"tar" * 1000, Content_Type="text/plain")
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == b'{"status":"%s"}\r\n' % IMAGE.id.encode()
    assert api.engine.uploaded == b"tar" * 1000
    assert last(api, "import") == {
        "reference": "a:b", "changes": ["ENV A=b", "CMD x"], "message": "m", "platform": "linux",
    }  # fmt: skip
    answer = await api.call("POST", "/images/create?fromSrc=-", b"bad")
    assert (answer.status, answer.message) == (400, "archive/tar: invalid tar header")


async def test_import_from_a_url(api: Api) -> None:
    """The daemon fetches it; what goes wrong there is told."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("etc"))

    async def serve(request: web.BaseRequest) -> web.Response:
        if request.path == "/missing":
            return web.Response(status=404)
        return web.Response(body=archive.getvalue() if request.path == "/a" else b"bad")

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        lines = (await api.call("POST", f"/images/create?fromSrc={url}/a")).body.splitlines()
        assert [json.loads(line) for line in lines] == [
            {"status": f"Downloading from {url}/a"},
            {"status": IMAGE.id},
        ]
        assert api.engine.uploaded == archive.getvalue()
        lines = (await api.call("POST", f"/images/create?fromSrc={url}/b")).body.splitlines()
        assert json.loads(lines[-1])["errorDetail"] == {
            "message": "archive/tar: invalid tar header"
        }
        answer = await api.call("POST", f"/images/create?fromSrc={url}/missing")
        assert (answer.status, "status 404" in answer.message) == (400, True)
        answer = await api.call("POST", "/images/create?fromSrc=file:///etc/passwd")
        assert (answer.status, "unsupported protocol" in answer.message) == (400, True)
    finally:
        await runner.cleanup()
    answer = await api.call("POST", f"/images/create?fromSrc={url}/a")  # nobody listens any more
    refused = f'Get "{url}/a": dial tcp {url.removeprefix("http://")}: connect: connection refused'
    assert (answer.status, answer.message) == (400, refused)


async def test_load(api: Api) -> None:
    """Progress comes while the archive goes; a failure after that is in the stream."""
    answer = await api.call("POST", "/images/load?quiet=1", b"x" * 10)
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines[-1] == {"stream": "Loaded image: busybox:latest\n"}
    assert last(api, "load") == {"quiet": True}
    api.engine.uploaded = b""
    answer = await api.call("POST", "/images/load", b"bad")
    assert json.loads(answer.body.splitlines()[-1])["error"] == "unexpected EOF"


async def test_what_this_engine_does_not_do(api: Api) -> None:
    """Swarm is refused in docker's words, what nobody knows is not found."""
    refused = await api.call("GET", "/swarm")
    assert (refused.status, "not a swarm manager" in refused.message) == (503, True)
    assert (await api.call("GET", "/nosuch")).message == "page not found"
    assert (await api.call("POST", "/images/create")).status == 400


async def test_system(api: Api) -> None:
    """version, info and df in each version's form."""
    shown = (await api.call("GET", "/version")).json
    assert (shown["ApiVersion"], shown["MinAPIVersion"], shown["Version"]) == (
        "1.55",
        "1.24",
        "9.9",
    )
    assert shown["Components"][0]["Details"] == {
        "Os": "linux",
        "ApiVersion": "1.55",
        "MinAPIVersion": "1.24",
    }
    assert "Components" not in (await api.call("GET", "/v1.34/version")).json
    assert (await api.call("GET", "/info")).json["NRI"] == {}
    assert (await api.call("GET", "/v1.40/info")).json == {"ID": "fake", "Containers": 0}
    assert (await api.call("GET", "/system/df")).json == {"ImageUsage": {"TotalCount": 1}}


async def test_disk_usage(api: Api) -> None:
    """The older form shows containers as lists do, with their sizes; kinds and `verbose` reach the engine."""
    api.engine.add(running("a"))
    shown = (await api.call("GET", "/v1.51/system/df?type=image&type=volume")).json
    assert shown["LayersSize"] == 1
    (container,) = shown["Containers"]
    assert (container["Names"], container["SizeRw"]) == (["/a"], 7)
    await api.call("GET", "/v1.55/system/df?verbose=1")
    await api.call("GET", "/v1.55/system/df")
    notes = [note[1] for note in api.engine.calls if note[0] == "disk_usage"]
    assert notes == [
        {"kinds": ["image", "volume"], "verbose": True},
        {"kinds": [], "verbose": True},
        {"kinds": [], "verbose": False},
    ]


async def test_attach_options_reach_the_engine(api: Api) -> None:
    """All of them, over a real hijack."""
    api.engine.add(running("a"))
    reader, writer = await api.open()
    writer.write(
        b"POST /containers/a/attach?stdin=1&stdout=1&stderr=1&stream=1&logs=1&detachKeys=ctrl-a "
        b"HTTP/1.1\r\nHost: d\r\n\r\n"
    )
    answer = await read_answer(reader)
    assert answer.status == 200
    assert last(api, "attach")["options"] == AttachOptions(
        stdin=True, stdout=True, stderr=True, stream=True, logs=True, detach_keys="ctrl-a"
    )
    writer.close()
