"""A server on a real unix socket with the fake engine behind it, and blunt ways to talk to it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sampan.api.server import Listener, make_app
from tests.fakes.engine import FakeEngine

HEAD_DEADLINE = 0.3


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


class Api:
    """`call` for well-behaved requests, `raw` for bytes as they are, `open` for a connection."""

    def __init__(self, path: str, engine: FakeEngine) -> None:
        self.path = path
        self.engine = engine

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.path)

    async def call(
        self, method: str, target: str, body: bytes | dict[str, Any] | None = None, **headers: str
    ) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: d", "Connection: close"]
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers.setdefault("Content_Type", "application/json")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return await self.raw("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    async def raw(self, data: bytes) -> Answer:
        reader, writer = await self.open()
        try:
            writer.write(data)
            return await read_answer(reader, head_only=data.startswith(b"HEAD"))
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if head_only or first.split()[1] in ("304", "204", "101"):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = await read_chunks(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(first.split()[1]), headers, body)


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readuntil(b"\r\n"), 16)
    data = await reader.readexactly(size)
    await reader.readexactly(2)
    return data


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while chunk := await read_chunk(reader):
        body += chunk
    return body


async def eventually(condition: Any) -> None:
    """Until `condition()` is true; fails after twenty seconds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    engine = FakeEngine()
    engine.install(monkeypatch)
    path = str(tmp_path / "docker.sock")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    listener = Listener(make_app(engine.services, version="0.1", head_deadline=HEAD_DEADLINE))
    await listener.listen(sock)
    yield Api(path, engine)
    await listener.close()
