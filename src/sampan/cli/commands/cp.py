"""`cp`: files between a container and this side."""

from __future__ import annotations

import os

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.copying import places
from sampan.cli.copying.pack import pack
from sampan.cli.copying.places import Place
from sampan.cli.copying.unpack import unpack
from sampan.cli.failure import DaemonError, Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import SWITCH
from sampan.cli.names import container_path
from sampan.cli.terminal import STDIN
from sampan.cli.units import human_size
from sampan.spec.jsontext import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sampan.cli.flags import Values

FLAGS = (
    Flag("archive", "a", SWITCH, "Keep owners and groups", default=False),
    Flag("follow-link", "L", SWITCH, "Copy what a link leads to", default=False),
    Flag("quiet", "q", SWITCH, "Say nothing when it is done", default=False),
)
_HEADER = "x-docker-container-path-stat"
_FOLDER, _LINK, _DEVICE = 1 << 31, 1 << 27, 1 << 26  # of Go's fs.FileMode
_PIECE = 1 << 18


def run(app: App, values: Values, arguments: list[str]) -> int:
    for name, argument in zip(("source", "destination"), arguments):
        if not argument:
            raise Failure(f"{name} can not be empty")
    (from_container, source), (to_container, destination) = map(places.split_argument, arguments)
    if from_container and to_container:
        raise Failure("copying between containers is not supported")
    if not from_container and not to_container:
        raise Failure("must specify at least one container source")
    try:
        if from_container:
            size = _copy_out(app, values, from_container, source, destination)
        else:
            size = _copy_in(app, values, source, to_container, destination)
    except OSError as error:
        raise Failure(f"{error.filename or 'copy'}: {(error.strerror or '').lower()}") from None
    if size is not None and not values["quiet"] and os.isatty(output.STDOUT):
        where = places.local(destination) if from_container else arguments[1]
        output.error(f"Successfully copied {human_size(size, 3)} to {where}\n")
    return 0


# -- out of a container ---------------------------------------------------------------------------


def _copy_out(app: App, values: Values, container: str, source: str, target: str) -> int | None:
    if target != "-":
        target = places.local(target)
        places.check_output(target)
    rename = ""
    if values["follow-link"]:
        source, rename = _followed(app, container, source)
    response = app.client.stream("GET", container_path(container, "/archive"), {"path": source})
    if target == "-":
        for piece in response.pieces():
            output.write_all(output.STDOUT, piece)
        return None
    found = _decode(response.headers.get(_HEADER, ""))
    origin = Place(source, exists=True, is_folder=bool(found["mode"] & _FOLDER), rename=rename)
    folder, renamer = places.plan(origin, places.destination(target))
    owners = bool(values["archive"]) and os.geteuid() == 0
    return unpack(response.pieces(), folder, renamer, owners=owners)


def _followed(app: App, container: str, path: str) -> tuple[str, str]:
    """Where a link in the container leads to, and the name that the copy keeps."""
    found = _status(app, container, path)
    if found is None or not found["mode"] & _LINK:
        return path, ""
    target = os.path.join(places.split(path)[0], found["linkTarget"])
    return places.rename_of(path, target)


# -- into a container ------------------------------------------------------------------------------


def _copy_in(app: App, values: Values, source: str, container: str, target: str) -> int | None:
    place = _target(app, container, target)
    if source == "-":
        if not place.is_folder:
            raise Failure(f'destination "{container}:{target}" must be a directory')
        _put(app, values, container, place.path, _standard_input())
        return None
    origin = places.source(places.local(source), follow=bool(values["follow-link"]))
    folder, rename = places.plan(origin, place)
    counter = _Counter()
    pieces = pack(*places.split(origin.path), rename)
    _put(app, values, container, folder, counter.count(pieces))
    return counter.size


def _target(app: App, container: str, path: str) -> Place:
    """What is at a path of the container, a link there followed; nothing is no error, its folder may be there."""
    found = _status(app, container, path)
    if found is not None and found["mode"] & _LINK:
        path = os.path.join(places.split(path)[0], found["linkTarget"])
        found = _status(app, container, path)
    if found is None:
        return Place(path)
    if found["mode"] & _DEVICE:
        raise Failure(
            f'destination "{container}:{path}" must be a directory or a regular file: got a device'
        )
    return Place(path, exists=True, is_folder=bool(found["mode"] & _FOLDER))


def _put(app: App, values: Values, container: str, folder: str, pieces: Iterator[bytes]) -> None:
    query = {
        "path": folder,
        "noOverwriteDirNonDir": "true",
        "copyUIDGID": "true" if values["archive"] else None,
    }
    headers = {"Content-Type": "application/x-tar"}
    path = container_path(container, "/archive")
    app.client.stream("PUT", path, query, body=pieces, headers=headers).read()


def _standard_input() -> Iterator[bytes]:
    while piece := os.read(STDIN, _PIECE):
        yield piece


class _Counter:
    def __init__(self) -> None:
        self.size = 0

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.size += len(piece)
            yield piece


def _status(app: App, container: str, path: str) -> dict[str, Any] | None:
    """None when there is nothing, or nobody to ask: what is done next tells why."""
    try:
        response = app.client.call("HEAD", container_path(container, "/archive"), {"path": path})
    except DaemonError:
        return None
    response.read()
    return _decode(response.headers.get(_HEADER, ""))


def _decode(text: str) -> dict[str, Any]:
    import binascii

    try:
        value: dict[str, Any] = loads(binascii.a2b_base64(text).decode("utf-8", "replace"))
        return {"mode": int(value["mode"]), "linkTarget": str(value["linkTarget"])}
    except (ValueError, KeyError, TypeError):
        raise Failure("the daemon did not say what is at the path") from None
