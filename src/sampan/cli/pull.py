"""Pulling the image that `run` or `create` misses."""

from __future__ import annotations

from sampan.cli import jsontext, output
from sampan.cli.names import parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.command import App
    from sampan.cli.config import Config

_HUB = "https://index.docker.io/v1/"


def pull(app: App, image: str, platform: str, *, show: bool) -> None:
    """Raises Failure with what the daemon says when it does not work."""
    from sampan.cli.progress import show_messages

    reference = parse_reference(image)
    query = {
        "fromImage": reference.name,
        "tag": str(reference.digest or reference.tag),
        "platform": platform or None,
    }
    headers = {"X-Registry-Auth": _credentials(app.config, reference.domain)}
    response = app.client.stream("POST", "/images/create", query, headers=headers)
    show_messages(response, output.STDERR if show else None)


def _credentials(config: Config, domain: str) -> str:
    """base64url of the API's AuthConfig, from the configuration's `auths`."""
    from binascii import a2b_base64, b2a_base64

    key = _HUB if domain == "docker.io" else domain
    entry = config.auth(key)
    answer: dict[str, str] = {}
    if encoded := entry.get("auth"):
        user, _, password = a2b_base64(encoded).decode("utf-8", "replace").partition(":")
        answer = {"username": user, "password": password.rstrip("\0")}
    if token := entry.get("identitytoken"):
        answer["identitytoken"] = token
    if answer:
        answer["serveraddress"] = key
    text = b2a_base64(jsontext.dumps(answer).encode(), newline=False).decode()
    return text.replace("+", "-").replace("/", "_")
