"""`inspect`: a container, an image, or whatever else has the name."""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.client import segment
from sampan.cli.command import App
from sampan.cli.failure import DaemonError, Failure
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT
from sampan.cli.inspecting import inspect_all
from sampan.cli.kinds import STRING, SWITCH
from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("format", "f", STRING, FORMAT, default=""),
    Flag("size", "s", SWITCH, "Show sizes, if it is a container", default=False),
    Flag("type", "", STRING, "Look among objects of this kind only", default=""),
)
# In the order in which they are tried.
_PATHS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
    "service": "/services/{}",
    "task": "/tasks/{}",
    "node": "/nodes/{}",
    "plugin": "/plugins/{}/json",
    "secret": "/secrets/{}",
    "config": "/configs/{}",
}
_SWARM = ("service", "task", "node", "secret", "config")


def run(app: App, values: Values, arguments: list[str]) -> int:
    wanted = values["type"]
    if wanted and wanted not in _PATHS:
        kinds = ", ".join(go_quote(kind) for kind in sorted(_PATHS))
        raise Failure(f"unknown type: {go_quote(wanted)}: must be one of {kinds}")
    if values.changed("type") and not wanted:
        kinds = ", ".join(go_quote(kind) for kind in sorted(_PATHS))
        raise Failure(f"type is empty: must be one of {kinds}")
    return inspect_all(
        arguments, values["format"], lambda name: find(app, name, wanted, size=values["size"])
    )


def find(app: App, name: str, wanted: str, *, size: bool) -> tuple[str, str]:
    """Kind and JSON of the first object of this name. Raises Failure."""
    if wanted:
        return wanted, _get(app, wanted, name, size=size)
    for kind in _PATHS:
        if kind in _SWARM:
            continue
        try:
            text = _get(app, kind, name, size=size)
            if size and kind != "container":
                output.error(f"WARNING: --size ignored for {kind}\n")
            return kind, text
        except DaemonError as error:
            if not _can_go_on(error):
                raise
    raise Failure(f"Error: No such object: {name}")


def _get(app: App, kind: str, name: str, *, size: bool) -> str:
    stripped = name.strip()
    if not stripped:
        raise Failure(f"invalid {kind} name or ID: value is empty")
    query = {"size": size and kind == "container"}
    return app.client.get_text(_PATHS[kind].format(segment(stripped)), query)


def _can_go_on(error: DaemonError) -> bool:
    """There is none of this kind, or the daemon does not have the kind at all."""
    texts = ("not supported", "invalid reference format", "This node is not a swarm manager")
    return error.status in (404, 501) or any(text in error.message for text in texts)
