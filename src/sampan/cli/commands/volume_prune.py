"""`volume prune`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.confirm import confirmed, prune_filters
from sampan.cli.failure import Failure
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.kinds import FILTER, SWITCH
from sampan.cli.output import out
from sampan.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("all", "a", SWITCH, "Remove named ones too", default=False, since="1.42"),
    Flag("filter", "", FILTER, "Remove only what fits (label=name)"),
    Flag("force", "f", SWITCH, "Do not ask", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    filters = prune_filters(app, values["filter"])
    if values["all"]:
        if any(name == "all" for name, _ in filters):
            raise Failure("conflicting options: cannot specify both --all and --filter all=1")
        filters.append(("all", "true"))
    kind = "all" if values["all"] else "anonymous"
    question = (
        f"WARNING! This will remove {kind} local volumes not used by at least one container.\n"
        "Are you sure you want to continue?"
    )
    if not values["force"] and not confirmed(question):
        return 0
    answer = app.client.post("/volumes/prune", {"filters": encode_filters(filters)})
    if answer["VolumesDeleted"]:
        names = "\n".join(answer["VolumesDeleted"])
        out(f"Deleted Volumes:\n{names}\n\n")
    out(f"Total reclaimed space: {human_size(answer['SpaceReclaimed'])}\n")
    return 0
