"""`tag`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.names import image_path, parse_image, parse_reference
from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

FLAGS: tuple[Flag, ...] = ()


def run(app: App, values: Values, arguments: list[str]) -> int:
    source, target = arguments
    try:
        parse_image(source)
    except Failure as failure:
        raise _refused(source, failure) from None
    try:
        reference = parse_reference(target)
    except Failure as failure:
        raise _refused(target, failure) from None
    if reference.digest is not None and reference.tag is None:
        raise Failure("refusing to create a tag with a digest reference")
    query = {"repo": reference.name, "tag": reference.tag}
    app.client.call("POST", image_path(source, "/tag"), query).read()
    return 0


def _refused(text: str, failure: Failure) -> Failure:
    return Failure(
        f"Error parsing reference: {go_quote(text)} is not a valid repository/tag: {failure}"
    )
