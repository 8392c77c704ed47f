"""Names of containers, images and volumes on the command line, as parts of a path and as references."""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.client import segment
from sampan.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values
    from sampan.spec.reference import Reference

_HEX = frozenset("0123456789abcdef")


def container_path(name: str, rest: str = "") -> str:
    """`/containers/NAME/rest`. Raises Failure for an empty name."""
    return f"/containers/{_segment('container', name)}{rest}"


def image_path(name: str, rest: str = "") -> str:
    return f"/images/{_segment('image', name)}{rest}"


def volume_path(name: str) -> str:
    return f"/volumes/{_segment('volume', name)}"


def network_path(name: str, rest: str = "") -> str:
    return f"/networks/{_segment('network', name)}{rest}"


def parse_reference(text: str, *, default_tag: str | None = "latest") -> Reference:
    """A name with its tag (`latest` when there is neither tag nor digest). Raises Failure with docker's text."""
    from sampan.errors import InvalidParameter
    from sampan.spec.reference import parse

    try:
        return parse(text, default_tag=default_tag)
    except InvalidParameter as error:
        message = str(error)
        if message.endswith("repository name must be lowercase"):
            message = (
                f"invalid reference format: repository name ({_repository(text)}) must be lowercase"
            )
        raise Failure(message) from None


def parse_name(text: str, values: Values) -> Reference:
    """What `pull` and `push` are about: `--all-tags` wants a bare name, and without it one gets a tag, which is said.

    Raises Failure with docker's text."""
    reference = parse_reference(text, default_tag=None)
    bare = reference.tag is None and reference.digest is None
    if values["all-tags"]:
        if not bare:
            raise Failure("tag can't be used with --all-tags/-a")
        return reference
    if not bare:
        return reference
    if not values["quiet"]:
        output.out("Using default tag: latest\n")
    return reference.with_tag("latest")


def parse_image(text: str) -> Reference | None:
    """The reference that names an image, or None when the text is an id."""
    digits = text.removeprefix("sha256:")
    if len(digits) == 64 and set(digits) <= _HEX:
        return None
    return parse_reference(text)


def _segment(kind: str, name: str) -> str:
    stripped = name.strip()
    if not stripped:
        raise Failure(f"invalid {kind} name or ID: value is empty")
    return segment(stripped)


def _repository(text: str) -> str:
    first, slash, rest = text.partition("/")
    is_host = slash and (
        any(c in first for c in ".:") or first == "localhost" or first != first.lower()
    )
    name = (rest if is_host else text).partition(":")[0].partition("@")[0]
    return name if is_host or "/" in name else f"library/{name}"
