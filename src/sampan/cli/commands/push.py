"""`push`: an image to its registry."""

from __future__ import annotations

from sampan.cli import credentials, output
from sampan.cli.command import App
from sampan.cli.commands.pull import TRUST
from sampan.cli.commands.rmi import platform_json
from sampan.cli.container.platform import normalize
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.names import image_path, parse_name
from sampan.cli.note import print_note
from sampan.cli.progress import show_messages
from sampan.cli.trust import check_trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS = (
    Flag("all-tags", "a", SWITCH, "Push every tag of the repository", default=False),
    TRUST,
    Flag(
        "platform",
        "",
        STRING,
        'Push only this platform\'s variant ("os[/arch[/variant]]")',
        default="",
        since="1.46",
    ),
    Flag("quiet", "q", SWITCH, "Print only the name", default=False),
)

_NOTE = (
    "Using --platform pushes only the specified platform manifest of a multi-platform image index.",
    "Other components, like attestations, will not be included.",
    "To push the complete multi-platform image, remove the --platform flag.",
    "",
)
_INSTEAD = "Not all multiplatform-content is present and only the available single-platform image was pushed"
_RED, _GREEN, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def run(app: App, values: Values, arguments: list[str]) -> int:
    check_trust(values)
    platform = _platform(values["platform"]) if values["platform"] else None
    reference = parse_name(arguments[0], values)
    if reference.digest is not None:
        raise Failure("cannot push a digest reference")
    query = {"tag": None if values["all-tags"] else reference.tag, "platform": platform}
    headers = {"X-Registry-Auth": credentials.header(app.config, reference.domain)}
    path = image_path(reference.name, "/push")
    response = app.client.stream("POST", path, query, headers=headers)
    told = show_messages(response, None if values["quiet"] else output.STDOUT)
    if values["quiet"]:
        output.out(f"{reference.canonical()}\n")
    for aux in told:
        if aux.get("manifestPushedInsteadOfIndex"):
            before, after = aux["originalIndex"]["digest"], aux["selectedManifest"]["digest"]
            print_note(
                output.STDOUT, _INSTEAD, f"{_RED}{before}{_PLAIN} -> {_GREEN}{after}{_PLAIN}"
            )
    return 0


def _platform(text: str) -> str:
    """Raises Failure."""
    try:
        normalize(text)
    except ValueError as error:
        raise Failure(f"Invalid platform {text}{error}") from None
    print_note(output.STDOUT, *_NOTE)
    return platform_json(text)
