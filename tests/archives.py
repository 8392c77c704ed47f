"""Tar archives for tests, entry by entry, with every name and type that a hostile one may have."""

from __future__ import annotations

from typing import Any

from sampan.wire import tar
from sampan.wire.tar import Header

Entry = tuple[Header, bytes]


def directory(name: str | bytes, mode: int = 0o755, **more: Any) -> Entry:
    return Header(_bytes(name), tar.DIRECTORY, mode=mode, **more), b""


def file(name: str | bytes, data: bytes = b"", mode: int = 0o644, **more: Any) -> Entry:
    return Header(_bytes(name), tar.FILE, size=len(data), mode=mode, **more), data


def symlink(name: str | bytes, target: str | bytes, **more: Any) -> Entry:
    return Header(_bytes(name), tar.SYMLINK, linkname=_bytes(target), **more), b""


def link(name: str | bytes, target: str | bytes) -> Entry:
    return Header(_bytes(name), tar.LINK, linkname=_bytes(target)), b""


def node(name: str, kind: bytes, major: int = 0, minor: int = 0, mode: int = 0o600) -> Entry:
    return Header(_bytes(name), kind, major=major, minor=minor, mode=mode), b""


def archive(*entries: Entry) -> bytes:
    pieces = []
    for header, data in entries:
        pieces += [tar.encode_header(header), data, tar.padding(len(data))]
    return b"".join(pieces) + tar.END_OF_ARCHIVE


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
