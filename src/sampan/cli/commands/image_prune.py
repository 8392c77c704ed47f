"""`image prune`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.confirm import confirmed, prune_filters
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.kinds import FILTER, SWITCH
from sampan.cli.output import out
from sampan.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("all", "a", SWITCH, "Remove every image that no container was made from", default=False),
    Flag("filter", "", FILTER, "Remove only what fits (until=time, label=name)"),
    Flag("force", "f", SWITCH, "Do not ask", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    kind = (
        "all images without at least one container associated to them."
        if values["all"]
        else "all dangling images."
    )
    if not values["force"] and not confirmed(
        f"WARNING! This will remove {kind}\nAre you sure you want to continue?"
    ):
        return 0
    lines, freed = prune(app, prune_filters(app, values["filter"]), everything=values["all"])
    if lines:
        out("Deleted Images:\n" + "".join(f"{line}\n" for line in lines) + "\n")
    out(f"Total reclaimed space: {human_size(freed)}\n")
    return 0


def prune(app: App, filters: list[tuple[str, str]], *, everything: bool) -> tuple[list[str], int]:
    """What was done, line by line, and the bytes that are free now."""
    dangling = "false" if everything else "true"
    query = {"filters": encode_filters([*filters, ("dangling", dangling)])}
    answer = app.client.post("/images/prune", query)
    lines = [
        f"untagged: {entry['Untagged']}"
        if entry.get("Untagged")
        else f"deleted: {entry['Deleted']}"
        for entry in answer.get("ImagesDeleted") or []
    ]
    return lines, answer["SpaceReclaimed"]
