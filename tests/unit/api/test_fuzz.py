"""Every route with what does not fit: never a 5xx but 501, never a hang, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
from pathlib import Path
from urllib.parse import quote

import pytest

from sampan.api import containers, exec, images, networks, streams, system, volumes
from sampan.api.routing import Route
from tests.fakes.engine import running
from tests.unit.api.conftest import Api, eventually, read_answer

ROUTES = [
    route
    for noun in (system, containers, streams, exec, images, volumes, networks)
    for route in noun.ROUTES
]
NAMES = [
    "a",
    "x",
    "",
    "..",
    "%00",
    "%2f",
    "ä",
    "a" * 5000,
    "\U0001f600",
    "sha256:",
    "-",
    "%ff",
    "a%20b",
    "{}",
]
VALUES = [
    "",
    "0",
    "1",
    "-1",
    "x",
    "9" * 400,
    "ä",
    "\udc80",
    "{}",
    "[]",
    "null",
    '{"a":["b"]}',
    '{"label":{"a":1}}',
    "%",
    "1.5",
    "NaN",
]
KEYS = ["all", "limit", "size", "filters", "t", "signal", "h", "w", "name", "condition", "since", "until",
        "tail", "stdout", "follow", "force", "v", "repo", "tag", "fromSrc", "fromImage", "platform",
        "detachKeys", "stream", "logs", "quiet", "changes", "digests"]  # fmt: skip
FIELDS = ["Image", "Cmd", "Env", "HostConfig", "NetworkingConfig", "Tty", "Labels", "ExposedPorts", "Name",
          "Detach", "ConsoleSize", "Memory", "Binds", "Mounts", "PortBindings", "Healthcheck"]  # fmt: skip
ENDLESS = {"/events"}  # a stream that nothing ends


def value(rng: random.Random, depth: int = 0) -> object:
    kind = rng.randrange(9 if depth < 3 else 6)
    plain = [None, True, rng.choice(VALUES), rng.randrange(-5, 1 << 70), 1.5, rng.choice(NAMES)]
    if kind < 6:
        return plain[kind]
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(3))]
    return {rng.choice(FIELDS): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def make_request(rng: random.Random, route: Route) -> bytes:
    path = "/".join(
        quote(rng.choice(NAMES), safe="%:{}", errors="surrogatepass") if "{" in segment else segment
        for segment in route.pattern.split("/")
    )
    chosen = rng.sample(KEYS, rng.randrange(4))
    query = "&".join(f"{key}={quote(rng.choice(VALUES), errors='surrogatepass')}" for key in chosen)
    # Following would wait for a container's end, rightly.
    query = "&".join(part for part in query.split("&") if not part.startswith("follow="))
    prefix = rng.choice(["", "/v1.24", "/v1.30", "/v1.41", "/v1.55"])
    body = rng.choice([b"", b"{", b"null", json.dumps(value(rng)).encode(), os.urandom(9)])
    content = rng.choice(["application/json", "text/plain", "", "application/json; charset=x"])
    head = f"{route.method} {prefix}{path}?{query} HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + f"Content-Type: {content}\r\nConnection: close\r\n\r\n".encode() + body


@pytest.mark.parametrize("seed", range(4))
async def test_no_request_makes_a_500(api: Api, seed: int) -> None:
    """500 requests a seed over all routes; afterwards the daemon answers as before."""
    rng = random.Random(seed)
    api.engine.verb("start")
    for number in range(500):
        api.engine.add(running("a"))
        route = ROUTES[number % len(ROUTES)]
        if route.pattern in ENDLESS or route.pattern.endswith("/wait"):
            continue
        data = make_request(rng, route)
        reader, writer = await api.open()
        writer.write(data)
        if writer.can_write_eof():
            writer.write_eof()
        answer = await read_answer(reader, head_only=route.method == "HEAD")
        writer.close()
        assert answer.status < 500 or answer.status == 501, (data, answer)
    assert (await api.call("GET", "/_ping")).status == 200


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_requests_leave_nothing_behind(api: Api) -> None:
    """resize, inspect of an exec, logs that are left, waits that are left: descriptors and tasks as before."""
    api.engine.add(running("a"))
    api.engine.log = [(1, b"x" * 1000)] * 10
    created = await api.call("POST", "/containers/a/exec", {"Cmd": ["x"]})

    async def once() -> None:
        await api.call("POST", "/containers/a/resize?h=1&w=1")
        await api.call("GET", f"/exec/{created.json['Id']}/json")
        for target in (b"GET /containers/a/logs?stdout=1&follow=1", b"POST /containers/a/wait"):
            reader, writer = await api.open()
            writer.write(target + b" HTTP/1.1\r\nHost: d\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

    await once()
    await eventually(lambda: not api.engine.waiters)
    files, tasks = open_files(), len(asyncio.all_tasks())
    for _ in range(100):
        await once()
    await eventually(lambda: not api.engine.waiters and api.engine.log_closed == 101)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    gc.collect()
    await eventually(lambda: open_files() <= files)
