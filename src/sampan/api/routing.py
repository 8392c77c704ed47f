"""Which handler answers which method and path. Paths are taken as they were sent: nothing is ever redirected.

A pattern is segments; `{name}` is one segment, `{name*}` one or more (an image's name has slashes), and has
to be followed by fewer fixed segments than stand before another pattern's, so the longest fixed tail wins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from sampan.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    from sampan.api.call import Call

Handler = Callable[["Call"], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    pattern: str
    handler: Handler


OWN = "sampan"  # the first segment of whatever is no part of Docker's API


def _joined(segments: list[str]) -> list[str]:
    """Ours have two words in front where Docker's have one."""
    if segments[0] == OWN and len(segments) > 1:
        return [f"{OWN}/{segments[1]}", *segments[2:]]
    return segments


def split_path(raw: str) -> list[str]:
    """The segments of a path as sent, still percent-encoded. Raises InvalidParameter for tricks."""
    segments = raw[1:].split("/")
    for segment in segments:
        decoded = unquote(segment, errors="strict") if "%" in segment else segment
        parts = decoded.replace("\\", "/").split("/")
        if ".." in parts or "." in parts or "\0" in decoded:
            raise InvalidParameter("invalid path")
    return segments


class Router:
    def __init__(self, routes: list[Route]) -> None:
        self._fixed: dict[tuple[str, ...], Handler] = {}
        self._one: dict[tuple[str, ...], tuple[str, Handler]] = {}
        self._many: dict[tuple[str, str], list[tuple[tuple[str, ...], str, Handler]]] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        segments = _joined(route.pattern[1:].split("/"))
        at = next((i for i, segment in enumerate(segments) if segment.startswith("{")), None)
        if at is None:
            self._fixed[(route.method, *segments)] = route.handler
            return
        name = segments[at].strip("{}*")
        tail = tuple(segments[at + 1 :])
        if segments[at].endswith("*}"):
            found = self._many.setdefault((route.method, segments[0]), [])
            found.append((tail, name, route.handler))
            found.sort(key=lambda entry: -len(entry[0]))
        else:
            self._one[(route.method, segments[0], *tail)] = (name, route.handler)

    def find(self, method: str, segments: list[str]) -> tuple[Handler, dict[str, str]]:
        """Raises NotFound ("page not found")."""
        segments = _joined(segments)
        handler = self._fixed.get((method, *segments))
        if handler is not None:
            return handler, {}
        if len(segments) > 1 and all(segments):
            entry = self._one.get((method, segments[0], *segments[2:]))
            if entry is not None:
                return entry[1], {entry[0]: _decode(segments[1])}
            for tail, name, handler in self._many.get((method, segments[0]), ()):
                end = len(segments) - len(tail)
                if end > 1 and tuple(segments[end:]) == tail:
                    return handler, {name: _decode("/".join(segments[1:end]))}
        raise NotFound("page not found")


def _decode(text: str) -> str:
    return unquote(text, errors="strict") if "%" in text else text
