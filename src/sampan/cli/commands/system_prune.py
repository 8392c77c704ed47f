"""`system prune`: containers that do not run, networks and images that none uses, and on demand volumes."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.commands import image_prune
from sampan.cli.confirm import confirmed, prune_filters
from sampan.cli.failure import Failure
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.kinds import FILTER, SWITCH
from sampan.cli.output import out
from sampan.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.cli.flags import Values

FLAGS = (
    Flag("all", "a", SWITCH, "Remove every image that no container was made from", default=False),
    Flag("filter", "", FILTER, "Remove only what fits (until=time, label=name)"),
    Flag("force", "f", SWITCH, "Do not ask", default=False),
    Flag("volumes", "", SWITCH, "Remove anonymous volumes too", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    filters = prune_filters(app, values["filter"])
    if values["volumes"] and any(name == "until" for name, _ in filters):
        raise Failure('ERROR: The "until" filter is not supported with "--volumes"')
    if not values["force"] and not confirmed(
        f"{_warning(values, filters)}\nAre you sure you want to continue?"
    ):
        return 0
    freed = 0
    for title, lines, bytes_freed in _pruned(app, values, filters):
        freed += bytes_freed
        if lines:
            out(f"Deleted {title}:\n" + "".join(f"{line}\n" for line in lines) + "\n")
    out(f"Total reclaimed space: {human_size(freed)}\n")
    return 0


def _pruned(
    app: App, values: Values, filters: list[tuple[str, str]]
) -> Iterator[tuple[str, list[str], int]]:
    """Containers first: they hold on to the rest."""
    query = {"filters": encode_filters(filters)}
    answer = app.client.post("/containers/prune", query)
    yield "Containers", answer.get("ContainersDeleted") or [], answer["SpaceReclaimed"]
    answer = app.client.post("/networks/prune", query)
    yield "Networks", answer.get("NetworksDeleted") or [], 0
    if values["volumes"]:
        answer = app.client.post("/volumes/prune", query)
        yield "Volumes", answer.get("VolumesDeleted") or [], answer["SpaceReclaimed"]
    yield "Images", *image_prune.prune(app, filters, everything=values["all"])


def _warning(values: Values, filters: list[tuple[str, str]]) -> str:
    images = (
        "all images without at least one container associated to them"
        if values["all"]
        else "all dangling images"
    )
    items = [
        "all stopped containers",
        "all networks not used by at least one container",
        *(
            ["all anonymous volumes not used by at least one container"]
            if values["volumes"]
            else []
        ),
        images,
        "all build cache" if values["all"] else "unused build cache",
    ]
    text = "WARNING! This will remove:\n" + "".join(f"  - {item}\n" for item in items)
    if filters:
        text += "\n  Items to be pruned will be filtered with:\n"
        text += "".join(f"  - {name}={value}\n" for name, value in filters)
    return text
