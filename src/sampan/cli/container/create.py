"""`POST /containers/create` with what surrounds it: id file, missing image, warnings."""

from __future__ import annotations

import os

from sampan.cli import output, terminal
from sampan.cli.container.build import build_create
from sampan.cli.container.files import go_reason
from sampan.cli.failure import DaemonError, Failure
from sampan.cli.names import parse_image
from sampan.cli.trust import check_trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.client import Client
    from sampan.cli.command import App
    from sampan.cli.flags import Values

_PULL_WHEN = ("always", "missing", "never", "")


def check_pull(values: Values) -> None:
    """Raises ValueError."""
    if values["pull"] not in _PULL_WHEN:
        raise ValueError(
            f'invalid pull option: \'{values["pull"]}\': must be one of "always", "missing" or "never"'
        )


def build_body(app: App, values: Values, arguments: list[str]) -> dict[str, Any]:
    """The container as the command line describes it. Raises ValueError."""
    check_pull(values)
    proxies = app.config.proxies(app.client.address.text)
    return build_create(values, arguments[0], arguments[1:], proxies)


def create_container(app: App, values: Values, body: dict[str, Any]) -> str:
    """The new container's id. Pulls the image if it must and may."""
    check_trust(values)
    with _IdFile(values["cidfile"]) as id_file:
        reference = parse_image(body["Image"])
        platform = _platform(values["platform"])
        if values["pull"] == "always" and reference is not None:
            _pull(app, values, body["Image"], platform)
        _adapt(app, values, body)
        query = {"name": values["name"] or None, "platform": platform or None}
        try:
            answer = app.client.post("/containers/create", query, body)
        except DaemonError as error:
            if error.status != 404 or reference is None or values["pull"] != "missing":
                raise
            if not values["quiet"]:
                output.error(f"Unable to find image '{reference.familiar()}' locally\n")
            _pull(app, values, body["Image"], platform)
            answer = app.client.post("/containers/create", query, body)
        for warning in [*(answer.get("Warnings") or []), *_warnings(body["HostConfig"])]:
            output.error(f"WARNING: {warning}\n")
        identity: str = answer["Id"]
        id_file.write(identity)
    return identity


def _platform(text: str) -> str:
    if not text:
        return ""
    from sampan.cli.container.platform import normalize

    try:
        return normalize(text)
    except ValueError as error:
        raise Failure(f"error parsing specified platform: {error}") from None


def _pull(app: App, values: Values, image: str, platform: str) -> None:
    from sampan.cli.pull import pull

    pull(app, image, platform, descriptor=None if values["quiet"] else output.STDERR)


def _adapt(app: App, values: Values, body: dict[str, Any]) -> None:
    """What depends on the daemon's version, the terminal, or the daemon's address."""
    client = app.client
    client.negotiate()
    host = body["HostConfig"]
    _require_per_network_mac(client, body)
    if not client.is_older("1.42"):
        host["ConsoleSize"] = list(terminal.size())
    elif values["kernel-memory"]:
        host["KernelMemory"] = values["kernel-memory"]
    if values["use-api-socket"]:
        host["Mounts"] = [*host.get("Mounts", []), _socket_mount(client)]


def _require_per_network_mac(client: Client, body: dict[str, Any]) -> None:
    endpoints = body["NetworkingConfig"]["EndpointsConfig"].values()
    if client.is_older("1.44") and any(endpoint["MacAddress"] for endpoint in endpoints):
        raise Failure(
            '"specify mac-address per network" requires API version 1.44, '
            f"but the sampan daemon API version is {client.version}"
        )


def _socket_mount(client: Client) -> dict[str, Any]:
    if client.address.scheme != "unix":
        raise Failure("--use-api-socket: the daemon is not reached through a unix socket")
    target = "/var/run/docker.sock"
    return {"Type": "bind", "Source": client.address.path, "Target": target, "BindOptions": {}}


def _warnings(host: dict[str, Any]) -> list[str]:
    for address in host["Dns"]:
        if address.startswith("127.") or address == "::1":
            return [f"Localhost DNS ({address}) may fail in containers."]
    return []


class _IdFile:
    """The file of `--cidfile`: must not exist, and is removed again when no container comes of it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> _IdFile:
        if not self._path:
            return self
        if os.path.exists(self._path):
            raise Failure(
                "container ID file found, make sure the other container isn't running or delete "
                + self._path
            )
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o666)
        except OSError as error:
            reason = f"open {self._path}: {go_reason(error)}"
            raise Failure(f"failed to create the container ID file: {reason}") from None
        return self

    def write(self, identity: str) -> None:
        if self._descriptor >= 0:
            output.write_all(self._descriptor, identity.encode())
            self._path = ""

    def __exit__(self, *details: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            if self._path:
                os.unlink(self._path)
