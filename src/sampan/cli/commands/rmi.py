"""`rmi`"""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.container.platform import normalize
from sampan.cli.failure import DaemonError, Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRINGS, SWITCH
from sampan.cli.names import image_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("force", "f", SWITCH, "Remove it even if containers use it", default=False),
    Flag("no-prune", "", SWITCH, "Leave parents that have no name", default=False),
    Flag(
        "platform",
        "",
        STRINGS,
        'Remove only this platform\'s variant ("os[/arch[/variant]]")',
        since="1.50",
    ),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    query = {
        "force": values["force"],
        "noprune": values["no-prune"],
        "platforms": [platform_json(text) for text in values["platform"]],
    }
    errors, fatal = [], False
    for name in arguments:
        try:
            removed = app.client.delete(image_path(name), query)
        except Failure as failure:
            errors.append(str(failure))
            fatal = fatal or not (isinstance(failure, DaemonError) and failure.status == 404)
            continue
        for entry in removed or []:
            text = (
                f"Deleted: {entry['Deleted']}"
                if entry.get("Deleted")
                else f"Untagged: {entry['Untagged']}"
            )
            output.out(f"{text}\n")
    if not errors:
        return 0
    # Forced, an image that is not there is no failure.
    if not values["force"] or fatal:
        raise Failure("\n".join(errors))
    output.error("\n".join(errors) + "\n")
    return 0


def platform_json(text: str) -> str:
    """A platform as an object, as newer parts of the API take it. Raises Failure."""
    from sampan.spec import jsontext

    try:
        system, _, rest = normalize(text).partition("/")
    except ValueError as error:
        raise Failure(f"invalid platform: {error}") from None
    architecture, _, variant = rest.partition("/")
    platform = {"architecture": architecture, "os": system}
    return jsontext.dumps(platform | ({"variant": variant} if variant else {}))
