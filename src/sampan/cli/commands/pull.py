"""`pull`: an image from a registry."""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.names import parse_name
from sampan.cli.pull import request_pull
from sampan.cli.trust import check_trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

TRUST = Flag("disable-content-trust", "", SWITCH, "Always so: signatures of Notary", default=True)
FLAGS = (
    Flag("all-tags", "a", SWITCH, "Pull every tag of the repository", default=False),
    TRUST,
    Flag("platform", "", STRING, "Which platform of an image of several", default=""),
    Flag("quiet", "q", SWITCH, "Print only the name", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    check_trust(values)
    reference = parse_name(arguments[0], values)
    request_pull(
        app,
        reference,
        values["platform"].lower(),
        descriptor=None if values["quiet"] else output.STDOUT,
        all_tags=values["all-tags"],
    )
    output.out(f"{reference.canonical()}\n")
    return 0
