"""What the user asked for over what the image says: one `ContainerConfig`. Pure.

Rules of moby's `runconfig.Merge`.
Image configuration is data: it fills what the user left open and decides nothing else.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sampan.errors import InvalidParameter
from sampan.spec.container import ContainerConfig, HealthConfig

V = TypeVar("V")

OWN_LABELS = "sampan."


def merge(user: ContainerConfig, image: ContainerConfig) -> ContainerConfig:
    """A new config; both arguments stay as they are. Raises InvalidParameter ("No command specified")."""
    entrypoint, cmd = _command(user, image)
    if not entrypoint and not cmd:
        raise InvalidParameter("No command specified")
    return msgspec.structs.replace(
        user,
        user=user.user or image.user,
        exposed_ports=_union(image.exposed_ports, user.exposed_ports),
        env=_environment(user.env or [], image.env or []),
        labels=_union(_foreign(image.labels), user.labels),
        entrypoint=entrypoint,
        cmd=cmd,
        healthcheck=_healthcheck(user.healthcheck, image.healthcheck),
        working_dir=user.working_dir or image.working_dir,
        volumes=_union(image.volumes, user.volumes),
        stop_signal=user.stop_signal or image.stop_signal,
        shell=user.shell or image.shell,
    )


def command_line(config: ContainerConfig) -> tuple[str, tuple[str, ...]]:
    """Path and arguments of the first process."""
    path, *arguments = [*(config.entrypoint or []), *(config.cmd or [])]
    return path, tuple(arguments)


def _command(
    user: ContainerConfig, image: ContainerConfig
) -> tuple[list[str] | None, list[str] | None]:
    entrypoint, cmd = user.entrypoint, user.cmd
    if not entrypoint:
        # A new entrypoint resets the image's command; no entrypoint at all takes the image's.
        if not cmd:
            cmd = image.cmd
        if entrypoint is None:
            entrypoint = image.entrypoint
    if entrypoint == [""]:  # `--entrypoint ""`
        entrypoint = None
    return entrypoint, cmd


def _environment(user: list[str], image: list[str]) -> list[str]:
    """The user's variables, then those of the image that the user did not name."""
    named = {variable.partition("=")[0] for variable in user}
    return user + [variable for variable in image if variable.partition("=")[0] not in named]


def _union(below: dict[str, V] | None, above: dict[str, V] | None) -> dict[str, V] | None:
    if not below and not above:
        return above
    return {**(below or {}), **(above or {})}


def _foreign(labels: dict[str, str] | None) -> dict[str, str] | None:
    """Without those that mean something to the daemon: an image decides nothing on the host (CVE-2026-53488)."""
    if labels is None:
        return None
    return {name: value for name, value in labels.items() if not name.startswith(OWN_LABELS)}


def _healthcheck(user: HealthConfig | None, image: HealthConfig | None) -> HealthConfig | None:
    if user is None or image is None:
        return user or image
    return HealthConfig(
        test=user.test or image.test,
        interval=user.interval or image.interval,
        timeout=user.timeout or image.timeout,
        retries=user.retries or image.retries,
        start_period=user.start_period or image.start_period,
        start_interval=user.start_interval or image.start_interval,
    )
