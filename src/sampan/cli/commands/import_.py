"""`import`: a root file system, from a file, from standard input, or fetched by the daemon."""

from __future__ import annotations

import os

from sampan.cli.command import App
from sampan.cli.container.files import go_reason
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import LIST, STRING
from sampan.cli.names import parse_reference
from sampan.cli.output import STDOUT
from sampan.cli.progress import show_messages
from sampan.cli.terminal import STDIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.cli.flags import Values

FLAGS = (
    Flag("change", "c", LIST, "Set the image's configuration, by an instruction of a Dockerfile"),
    Flag("message", "m", STRING, "Comment in the image's history", default=""),
    Flag("platform", "", STRING, "Platform of the image", default="", since="1.32"),
)
_CHUNK = 1 << 18


def run(app: App, values: Values, arguments: list[str]) -> int:
    source, name = arguments[0], arguments[1] if len(arguments) > 1 else ""
    is_url = source.startswith(("http://", "https://"))
    body = None if is_url else read_file(None if source == "-" else source)
    if name:
        parse_reference(name)
    query = {
        "fromSrc": source if is_url else "-",
        "repo": name or None,
        "message": values["message"] or None,
        "changes": values["change"],
        "platform": values["platform"].lower() or None,
    }
    headers = {} if is_url else {"Content-Type": "text/plain"}
    response = app.client.stream("POST", "/images/create", query, body=body, headers=headers)
    show_messages(response, STDOUT)
    return 0


def read_file(path: str | None) -> Iterator[bytes]:
    """The pieces of a file, or of standard input. Raises Failure at once when it cannot be opened."""
    if path is None:
        return _pieces(STDIN)
    try:
        return _pieces(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise Failure(f"open {path}: {go_reason(error)}") from None


def _pieces(descriptor: int) -> Iterator[bytes]:
    while data := os.read(descriptor, _CHUNK):
        yield data
