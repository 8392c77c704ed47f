"""`commit`: an image of what a container is now."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.flags import Flag
from sampan.cli.kinds import LIST, STRING, SWITCH
from sampan.cli.names import parse_reference
from sampan.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("author", "a", STRING, "Who made it", default=""),
    Flag(
        "change", "c", LIST, "Change the image's configuration, by an instruction of a Dockerfile"
    ),
    Flag("message", "m", STRING, "Comment in the image's history", default=""),
    Flag("pause", "p", SWITCH, "Freeze the container meanwhile", default=True),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    repo = tag = ""
    if len(arguments) > 1 and arguments[1]:
        reference = parse_reference(arguments[1])
        repo, tag = reference.familiar_name, reference.tag or ""
        if reference.digest is not None:
            from sampan.cli.failure import Failure

            raise Failure("refusing to create a tag with a digest reference")
    query = {
        "container": arguments[0],
        "repo": repo,
        "tag": tag,
        "comment": values["message"] or None,
        "author": values["author"] or None,
        "changes": values["change"],
        "pause": None if values["pause"] else "0",
    }
    out(f"{app.client.post('/commit', query)['Id']}\n")
    return 0
