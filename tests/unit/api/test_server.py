"""The edge over a real socket: versions, headers, routes, errors, hostile HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.api.server import Listener, make_app
from sampan.errors import Conflict, NotModified, SampanError
from tests.fakes.engine import record, running
from tests.unit.api.conftest import HEAD_DEADLINE, Api, eventually, read_answer


@pytest.mark.parametrize("prefix", ["", "/v1.24", "/v1.41", "/v1.55"])
async def test_ping_has_the_headers_that_clients_negotiate_by(api: Api, prefix: str) -> None:
    """GET and HEAD /_ping, with and without a version."""
    for method, body in (("GET", b"OK"), ("HEAD", b"")):
        answer = await api.call(method, f"{prefix}/_ping")
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["api-version"] == "1.55"
        assert answer.headers["ostype"] == "linux"
        assert answer.headers["docker-experimental"] == "false"
        assert answer.headers["builder-version"] == "1"
        assert answer.headers["server"] == "Sampan/0.1 (linux)"
        assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        (
            "/v1.99/version",
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.55",
        ),
        (
            "/v2.0/version",
            400,
            "client version 2.0 is too new. Maximum supported API version is 1.55",
        ),
        (
            "/v1.12/version",
            400,
            "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your "
            "client to a newer version",
        ),
        ("/vx/version", 404, "page not found"),
        ("/v1.41", 404, "page not found"),
        ("/nothing/here", 404, "page not found"),
        ("/v1.99/nothing", 404, "page not found"),
        ("/", 404, "page not found"),
        ("/containers/json/", 404, "page not found"),
        ("//containers/json", 404, "page not found"),
        ("/containers//json", 404, "page not found"),
        ("/v1.41//version", 404, "page not found"),
        ("/containers/..%2fversion", 400, "invalid path"),
        ("/containers/../version", 400, "invalid path"),
        ("/containers/%2e%2e/version", 400, "invalid path"),
        ("/containers/%2e/json", 400, "invalid path"),
        ("/containers/a%2fjson", 404, "page not found"),
        ("/containers/a%00b/json", 400, "invalid path"),
        ("/containers/%ff/json", 400, "invalid path"),
        ("/images/a%2f..%2fb/json", 400, "invalid path"),
        ("/containers/x/json", 404, "No such container: x"),
    ],
)
async def test_paths(api: Api, target: str, status: int, text: str) -> None:
    """Wrong versions, unknown pages and tricks have dockerd's texts, and never a redirect."""
    answer = await api.call("GET", target)
    assert (answer.status, answer.message) == (status, text)


async def test_other_methods_are_no_pages(api: Api) -> None:
    """A page that exists for GET does not for POST or PATCH; OPTIONS is answered everywhere."""
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        assert (await api.call(method, "/version")).message == "page not found"
    assert (await api.call("OPTIONS", "/version")).status == 200


async def test_an_image_name_may_have_slashes_in_either_form(api: Api) -> None:
    """The whole middle of the path is the name."""
    for target in ("/images/reg:5000/a/b:tag/json", "/images/reg:5000%2Fa%2Fb:tag/json"):
        assert (await api.call("GET", target)).message == "No such image: reg:5000/a/b:tag"


HEAD = b"GET /_ping HTTP/1.1\r\nHost: d\r\n"
POST = b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (
            POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            400,
        ),
        (
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            400,
        ),
        (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400),
        (POST + b"Content-Length: +2\r\n\r\n{}", 400),
        (POST + b"Content-Length: 0x2\r\n\r\n{}", 400),
        (POST + b"Content-Length: -1\r\n\r\n{}", 400),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n{}", 400),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n{}\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * 300 + b"\r\n{}\r\n0\r\n\r\n", 400),
        (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"X: a\r\n b\r\n\r\n", 400),
        (HEAD + b"X : a\r\n\r\n", 400),
        (HEAD + b" X: a\r\n\r\n", 400),
        (HEAD + b": a\r\n\r\n", 400),
        (HEAD + b"no colon\r\n\r\n", 400),
        (HEAD + b"X: a\nY: b\r\n\r\n", 400),
        (HEAD + b"X: a\rY: b\r\n\r\n", 400),
        (HEAD + b"X: a\0b\r\n\r\n", 400),
        (HEAD + b"Host: e\r\n\r\n", 400),
        (HEAD.replace(b"\r\n", b"\n") + b"\n", 400),
        (b"GET /_ping HTTP/1.1\r\n\r\n", 400),
        (b"GET  /_ping HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /_ping\r\nHost: d\r\n\r\n", 400),
        (b"GET _ping HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET http://d/_ping HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /_ping#x HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /_p\x00ing HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /_ping HTTP/2.0\r\nHost: d\r\n\r\n", 505),
        (b"CONNECT d:80 HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"BREW /_ping HTTP/1.1\r\nHost: d\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (HEAD + b"X: " + b"a" * (64 * 1024) + b"\r\n\r\n", 431),
        (HEAD + b"X: " + b"a" * (2 << 20), 431),
        (b"GET /" + b"a" * (64 * 1024) + b" HTTP/1.1\r\nHost: d\r\n\r\n", 431),
        (HEAD + b"".join(b"X%d: a\r\n" % n for n in range(200)) + b"\r\n", 431),
        (HEAD + b"Origin: http://evil.example\r\n\r\n", 403),
        (HEAD + b"Origin: null\r\n\r\n", 403),
        (HEAD + b"".join(b"X%d: a\r\n" % n for n in range(199)) + b"\r\n", 200),
        (HEAD + b"X: " + b"a" * (60 * 1024) + b"\r\n\r\n", 200),
        (HEAD.replace(b"Host: d", b"Host: evil.example:1") + b"\r\n", 200),
    ],
)
async def test_hostile_http(api: Api, data: bytes, status: int) -> None:
    """Whatever two parsers could read in two ways is refused, limits hold, and the daemon lives on."""
    answer = await api.raw(data)
    assert answer.status == status, answer
    if status >= 400:
        assert answer.message
    assert (await api.call("GET", "/_ping")).status == 200


async def test_a_refused_connection_is_closed(api: Api) -> None:
    """After a 400 nothing more is read from the client, not even a good request."""
    reader, writer = await api.open()
    writer.write(HEAD + b"Host: e\r\n\r\n" + HEAD + b"\r\n")
    assert (await read_answer(reader)).status == 400
    assert await reader.read() == b""
    writer.close()


async def test_a_half_sent_head_is_closed_at_the_deadline(api: Api) -> None:
    """Slowloris: each has the head's deadline, and others are served in the meantime."""
    slow = [await api.open() for _ in range(50)]
    started = asyncio.get_running_loop().time()
    for _, writer in slow:
        writer.write(b"GET /_ping HTTP/1.1\r\nHost:")
    assert (await api.call("GET", "/_ping")).status == 200
    for reader, writer in slow:
        assert (await read_answer(reader)).status == 408
        writer.close()
    assert asyncio.get_running_loop().time() - started >= HEAD_DEADLINE


async def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    """One at a time, however their bytes arrive; a half-close behind the last one loses no answer."""
    reader, writer = await api.open()
    body = b'{"Image":"busybox"}'
    data = HEAD + b"\r\n" + POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    data += POST.replace(b"create", b"create?name=b") + b"Transfer-Encoding: chunked\r\n\r\n"
    data += b"5\r\n" + body[:5] + b"\r\ne;x=y\r\n" + body[5:] + b"\r\n0\r\n\r\n"
    data += HEAD + b"\r\n"
    for position in range(0, len(data), 7):
        writer.write(data[position : position + 7])
        await writer.drain()
        await asyncio.sleep(0)
    writer.write_eof()
    answers = [await read_answer(reader) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 201, 201, 200]
    assert await reader.read() == b""
    writer.close()


async def test_a_half_close_behind_a_request_is_answered(api: Api) -> None:
    """`echo request | nc -N`, also when the answer takes its time (aio-libs/aiohttp#3659)."""
    api.engine.add(running("a"))
    reader, writer = await api.open()
    writer.write(b"POST /v1.29/containers/a/wait HTTP/1.1\r\nHost: d\r\n\r\n")
    writer.write_eof()
    await eventually(lambda: api.engine.waiters)
    api.engine.exit(api.engine.get("a").id, 7)
    assert (await read_answer(reader)).json == {"StatusCode": 7}
    writer.close()


@pytest.mark.parametrize("half_closed", [False, True])
async def test_a_client_that_vanishes_frees_its_wait(api: Api, half_closed: bool) -> None:
    """The handler ends when the connection does, even if only the sending side had been closed at first."""
    api.engine.add(running("a"))
    reader, writer = await api.open()
    writer.write(b"POST /containers/a/wait HTTP/1.1\r\nHost: d\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    assert len(api.engine.waiters) == 1
    if half_closed:
        writer.write_eof()
    writer.close()
    await eventually(lambda: not api.engine.waiters)


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (Conflict("in use"), 409, b'{"message":"in use"}\n'),
        (NotModified("is running"), 304, b""),
        (SampanError("no luck"), 500, b'{"message":"no luck"}\n'),
        (ValueError("a bug"), 500, b'{"message":"internal error: the daemon\'s log says more"}\n'),
    ],
)
async def test_failures_have_their_status(
    api: Api, error: Exception, status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The class decides; a bug is logged with its traceback and never drops the connection."""
    api.engine.add(record("a"))
    reader, writer = await api.open()
    for _ in range(2):
        api.engine.fail_next = error
        writer.write(b"POST /containers/a/stop HTTP/1.1\r\nHost: d\r\n\r\n")
        answer = await read_answer(reader)
        assert (answer.status, answer.body) == (status, body)
    writer.close()
    assert ("a bug" in caplog.text) is (type(error) is ValueError)


async def test_an_upgrade_that_fails_leaves_the_connection_in_use(api: Api) -> None:
    """An attach to nothing is a plain 404; the next request goes over the same connection."""
    reader, writer = await api.open()
    for _ in range(2):
        writer.write(
            b"POST /containers/x/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
        assert (await read_answer(reader)).message == "No such container: x"
        writer.write(HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert (await read_answer(reader)).body == b"OK"
    writer.close()


async def test_a_body_is_asked_for_when_the_client_waits(api: Api) -> None:
    """Expect: 100-continue, as curl sends it for large uploads."""
    reader, writer = await api.open()
    writer.write(POST + b"Expect: 100-continue\r\nContent-Length: 19\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'{"Image":"busybox"}')
    assert (await read_answer(reader)).status == 201
    writer.close()


async def test_a_chunked_body_that_breaks_later_is_a_400(api: Api) -> None:
    """The head was good and its handler waits for the body."""
    reader, writer = await api.open()
    writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(b"zz\r\n")
    answer = await read_answer(reader)
    assert (answer.status, answer.message) == (400, "malformed chunked encoding: chunk size")
    assert await reader.read() == b""
    writer.close()


async def test_a_large_json_body_is_refused(api: Api) -> None:
    """More than 4 MiB, announced or not, is a 413."""
    large = b'{"Image":"' + b"x" * (4 << 20) + b'"}'
    chunked = (
        POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(large) + large + b"\r\n0\r\n\r\n"
    )
    for data in (POST + b"Content-Length: %d\r\n\r\n" % len(large) + large, chunked):
        answer = await api.raw(data)
        assert (answer.status, answer.message) == (413, "request body too large")


async def test_a_stream_that_fails_is_cut_short(api: Api) -> None:
    """No second head in the middle of it: the chunked body just has no end."""
    api.engine.add(running("a"))

    async def broken() -> AsyncIterator[tuple[int, bytes]]:
        yield 1, b"x"
        await asyncio.sleep(0.01)
        raise ValueError("a bug")

    api.engine._chunks = lambda options: broken()  # type: ignore[method-assign]
    reader, writer = await api.open()
    writer.write(b"GET /containers/a/logs?stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    data = await reader.read()
    assert data.endswith(b"\r\n9\r\n\x01\0\0\0\0\0\0\x01x\r\n")
    assert data.count(b"HTTP/1.1") == 1
    writer.close()


async def test_a_lost_monitor_is_no_lost_client(api: Api) -> None:
    """A ConnectionError of the engine's is a 500, as long as the client is there."""
    api.engine.add(running("a"))
    api.engine.fail_next = BrokenPipeError(32, "Broken pipe")
    assert (await api.call("POST", "/containers/a/stop")).status == 500


async def test_a_body_has_a_deadline(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a JSON body, and then nothing."""
    monkeypatch.setattr("sampan.api.call.BODY_DEADLINE", 0.05)
    answer = await api.raw(POST + b"Content-Length: 100\r\n\r\n{")
    assert (answer.status, answer.message) == (400, "the request's body took too long")


async def test_it_closes_quickly_with_streams_open(api: Api, tmp_path: Path) -> None:
    """Waits, events and followed logs end at once when the daemon does."""
    api.engine.add(running("a"))
    sock = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "other.sock")
    sock.bind(path)
    listener = Listener(make_app(api.engine.services, version="0.1"))
    await listener.listen(sock)
    clients = []
    for target in (
        b"POST /containers/a/wait",
        b"GET /events",
        b"GET /containers/a/logs?stdout=1&follow=1",
    ):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(target + b" HTTP/1.1\r\nHost: d\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        clients.append(writer)
    started = asyncio.get_running_loop().time()
    await listener.close()
    assert asyncio.get_running_loop().time() - started < 0.9
    assert not api.engine.waiters
    assert not api.engine.events.listeners
    assert api.engine.log_closed == 1
    for writer in clients:
        writer.close()
