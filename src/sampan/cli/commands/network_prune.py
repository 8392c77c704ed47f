"""`network prune`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.confirm import confirmed, prune_filters
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.kinds import FILTER, SWITCH
from sampan.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("filter", "", FILTER, "Remove only what fits (until=timestamp)"),
    Flag("force", "f", SWITCH, "Do not ask", default=False),
)
_QUESTION = (
    "WARNING! This will remove all custom networks not used by at least one container.\n"
    "Are you sure you want to continue?"
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    filters = prune_filters(app, values["filter"])
    if not values["force"] and not confirmed(_QUESTION):
        return 0
    answer = app.client.post("/networks/prune", {"filters": encode_filters(filters)})
    if answer["NetworksDeleted"]:
        names = "".join(f"{name}\n" for name in answer["NetworksDeleted"])
        out(f"Deleted Networks:\n{names}\n")
    return 0
