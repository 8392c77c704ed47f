"""`container prune`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.confirm import confirmed, prune_filters
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.kinds import FILTER, SWITCH
from sampan.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("filter", "", FILTER, 'Remove only what fits (as "until=<timestamp>")'),
    Flag("force", "f", SWITCH, "Do not ask first", default=False),
)
_WARNING = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?"


def run(app: App, values: Values, arguments: list[str]) -> int:
    if not values["force"] and not confirmed(_WARNING):
        return 0
    query = {"filters": encode_filters(prune_filters(app, values["filter"]))}
    answer = app.client.post("/containers/prune", query)
    if ids := answer.get("ContainersDeleted"):
        output.out("Deleted Containers:\n" + "".join(f"{each}\n" for each in ids) + "\n")
    output.out(f"Total reclaimed space: {human_size(answer.get('SpaceReclaimed') or 0)}\n")
    return 0
