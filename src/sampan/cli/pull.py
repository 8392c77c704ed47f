"""Pulling an image: for `pull`, and for `run` and `create` when they miss it."""

from __future__ import annotations

from sampan.cli import credentials
from sampan.cli.names import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.command import App
    from sampan.spec.reference import Reference


def pull(app: App, image: str, platform: str, *, descriptor: int | None) -> None:
    """Progress goes to `descriptor`. Raises Failure with what the daemon says when it does not work."""
    reference = parse_reference(image)
    request_pull(app, reference, platform, descriptor=descriptor)


def request_pull(
    app: App, reference: Reference, platform: str, *, descriptor: int | None, all_tags: bool = False
) -> None:
    """As `pull`."""
    from sampan.cli.progress import show_messages

    query = {
        "fromImage": reference.name,
        "tag": None if all_tags else str(reference.digest or reference.tag),
        "platform": platform or None,
    }
    headers = {"X-Registry-Auth": credentials.header(app.config, reference.domain)}
    response = app.client.stream("POST", "/images/create", query, headers=headers)
    show_messages(response, descriptor)
