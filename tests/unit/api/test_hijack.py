"""Connections that leave aiohttp: no byte is lost either way, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest

from sampan.spec.container import ContainerConfig
from tests.fakes.engine import running
from tests.unit.api.conftest import Api, eventually, read_answer

UPGRADE = b"Connection: Upgrade\r\nUpgrade: tcp\r\n"
RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def attach(version: str, extra: bytes = UPGRADE, name: str = "a") -> bytes:
    return (
        f"POST /{version}/containers/{name}/attach?stream=1 HTTP/1.1\r\nHost: d\r\n".encode()
        + extra
        + b"\r\n"
    )


@pytest.fixture
def engine_with_terminals(api: Api) -> Api:
    api.engine.add(running("a"), running("t", config=ContainerConfig(tty=True)))
    return api


async def read_all(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        return await reader.read()


@pytest.mark.parametrize(
    ("version", "name", "extra", "first", "kind"),
    [
        ("v1.55", "t", UPGRADE, b"HTTP/1.1 101 UPGRADED", RAW),
        ("v1.42", "a", UPGRADE, b"HTTP/1.1 101 UPGRADED", MULTIPLEXED),
        ("v1.41", "a", UPGRADE, b"HTTP/1.1 101 UPGRADED", RAW),
        ("v1.55", "a", b"", b"HTTP/1.1 200 OK", RAW),
        (
            "v1.55",
            "a",
            b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
            b"HTTP/1.1 101 UPGRADED",
            MULTIPLEXED,
        ),
    ],
)
async def test_the_head_of_the_answer(
    engine_with_terminals: Api, version: str, name: str, extra: bytes, first: bytes, kind: str
) -> None:
    """101 for who asked, 200 for the others; the content type by version and terminal; once."""
    reader, writer = await engine_with_terminals.open()
    writer.write(attach(version, extra, name))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(first)
    assert f"Content-Type: {kind}\r\n".encode() in head
    assert (b"Upgrade: tcp\r\n" in head) is bool(extra)
    assert b"Content-Length" not in head
    assert b"Transfer-Encoding" not in head
    writer.write_eof()
    rest = await read_all(reader)
    assert rest.endswith(b"<end>")
    assert b"HTTP/1.1" not in rest
    writer.close()


@pytest.mark.parametrize("extra", [UPGRADE, b""])
@pytest.mark.parametrize("size", [1, 5, 70_000, 3_000_000])
async def test_bytes_sent_behind_the_request_are_not_lost(
    engine_with_terminals: Api, extra: bytes, size: int
) -> None:
    """A client that does not wait for the answer: its bytes come first, then what it sends later."""
    early = (b"GET /_ping HTTP/1.1\r\n\r\n" * (size // 23 + 1))[:size]
    reader, writer = await engine_with_terminals.open()
    writer.write(attach("v1.55", extra, "t") + early)

    async def send() -> None:
        await writer.drain()
        writer.write(b"later")
        writer.write_eof()

    async def receive() -> bytes:
        await reader.readuntil(b"\r\n\r\n")
        return await read_all(reader)

    # The echo has to be read while the rest is sent, or both sides would wait.
    got, _ = await asyncio.gather(receive(), send())
    assert got == early + b"later<end>"
    writer.close()


async def test_an_execs_body_and_what_follows_it(engine_with_terminals: Api) -> None:
    """JSON, then the upgrade, then input, all in one piece; and chunked."""
    api = engine_with_terminals
    created = await api.call("POST", "/containers/t/exec", {"Cmd": ["cat"], "Tty": True})
    target = f"POST /v1.50/exec/{created.json['Id']}/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    body = b'{"Detach":false,"Tty":true,"ConsoleSize":[3,4]}'
    for framed in (
        b"Content-Length: %d\r\n\r\n" % len(body) + body,
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n",
    ):
        reader, writer = await api.open()
        writer.write(target.encode() + UPGRADE + framed + b"input")
        writer.write_eof()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 UPGRADED\r\n")
        assert await read_all(reader) == b"input<end>"
        writer.close()
        assert api.engine.calls[-1] == ("prepare_exec", {"tty": True, "console_size": (3, 4)})


async def test_answers_before_it_come_first(engine_with_terminals: Api) -> None:
    """Pipelined behind a plain request, on a connection that was used before."""
    reader, writer = await engine_with_terminals.open()
    ping = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
    writer.write(ping)
    assert (await read_answer(reader)).body == b"OK"
    writer.write(ping + attach("v1.55", name="t") + b"x")
    writer.write_eof()
    assert (await read_answer(reader)).body == b"OK"
    assert (await read_answer(reader)).status == 101
    assert await read_all(reader) == b"x<end>"
    writer.close()


async def test_fifty_megabytes_go_through_unchanged(engine_with_terminals: Api) -> None:
    """Binary, with back-pressure both ways."""
    data = os.urandom(1 << 20) * 50
    reader, writer = await engine_with_terminals.open()
    writer.write(attach("v1.55", name="t"))
    await reader.readuntil(b"\r\n\r\n")

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    _, got = await asyncio.gather(send(), read_all(reader))
    assert got == data + b"<end>"
    writer.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_nothing_is_left_of_many_streams(engine_with_terminals: Api) -> None:
    """Descriptors and tasks are as before: clients that finish, vanish, or never read."""
    api = engine_with_terminals

    async def one(number: int) -> None:
        reader, writer = await api.open()
        writer.write(attach("v1.55", UPGRADE if number % 2 else b""))
        if number % 3:
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    await one(1)
    await eventually(lambda: api.engine.streams_ended == 1)
    files, tasks = open_files(), len(asyncio.all_tasks())
    for number in range(200):
        await one(number)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    gc.collect()
    await eventually(lambda: open_files() <= files)


async def test_a_failed_hand_over_closes_the_connection(
    engine_with_terminals: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug behind the upgrade: logged, and the client sees the end."""
    api = engine_with_terminals

    async def broken(self: object, client: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("tests.fakes.engine.Echo.connect", broken)
    reader, writer = await api.open()
    writer.write(attach("v1.55"))
    assert (await read_answer(reader)).status == 101
    assert await read_all(reader) == b""
    assert "a bug" in caplog.text
    writer.close()
