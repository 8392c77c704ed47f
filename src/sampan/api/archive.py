"""Files into and out of containers: `docker cp`."""

from __future__ import annotations

import base64
import stat
from typing import Any

import msgspec
from aiohttp import web

from sampan.api.call import Call
from sampan.api.hijack import read_in_bulk
from sampan.api.routing import Route
from sampan.engine import archive as engine
from sampan.engine import times
from sampan.engine.archive import PathStat
from sampan.errors import InvalidParameter

_HEADER = "X-Docker-Container-Path-Stat"
# Go's fs.FileMode: kinds of files and special bits, by the kernel's.
_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def go_mode(mode: int) -> int:
    special = sum(theirs for ours, theirs in _BITS.items() if mode & ours)
    return mode & 0o777 | _KINDS.get(stat.S_IFMT(mode), 0) | special


def path_stat(found: PathStat) -> str:
    """The header's value."""
    body: dict[str, Any] = {
        "name": found.name,
        "size": found.size,
        "mode": go_mode(found.mode),
        "mtime": times.to_text(found.mtime_ns),
        "linkTarget": found.link,
    }
    return base64.b64encode(msgspec.json.encode(body)).decode()


def _path(call: Call) -> str:
    path = call.query.text("path")
    if not path:
        raise InvalidParameter("bad parameter: path cannot be empty")
    return path


async def stat_path(call: Call) -> web.StreamResponse:
    found = await engine.stat_path(call.services, call.name, _path(call))
    call.headers[_HEADER] = path_stat(found)
    return call.empty(200)


async def download(call: Call) -> web.StreamResponse:
    with call.cancelled_when_gone():
        async with engine.open_archive(call.services, call.name, _path(call)) as found:
            call.headers[_HEADER] = path_stat(found.stat)
            response = await call.stream("application/x-tar")
            async for piece in found.chunks:
                await response.write(piece)
    return response


async def upload(call: Call) -> web.StreamResponse:
    read_in_bulk(call.http)
    await engine.extract_archive(
        call.services,
        call.name,
        _path(call),
        call.body(),
        overwrite=not call.query.flag("noOverwriteDirNonDir"),
        own=call.query.flag("copyUIDGID"),
    )
    return call.empty(200)


ROUTES = [
    Route("HEAD", "/containers/{name}/archive", stat_path),
    Route("GET", "/containers/{name}/archive", download),
    Route("PUT", "/containers/{name}/archive", upload),
]
