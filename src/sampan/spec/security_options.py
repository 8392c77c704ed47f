"""`--security-opt`: what a caller may say about confinement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sampan.errors import InvalidParameter

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class SecurityOptions(NamedTuple):
    no_new_privileges: bool = False
    seccomp: str = ""
    """"" for the default, `unconfined`, or a profile as JSON text."""

    system_paths_unconfined: bool = False
    writable_cgroups: bool = False
    apparmor: str = ""
    """Kept for the record: sampan has no AppArmor or SELinux support, as dockerd on a host without."""

    labels: tuple[str, ...] = ()


def parse_security_options(
    options: Iterable[str] | None, *, no_new_privileges: bool = False
) -> SecurityOptions:
    """`no_new_privileges` is the daemon's default. Raises `InvalidParameter` in Docker's words."""
    result = SecurityOptions(no_new_privileges=no_new_privileges)
    for option in options or ():
        result = _apply(result, option)
    return result


def _apply(result: SecurityOptions, option: str) -> SecurityOptions:
    if option == "no-new-privileges":
        return result._replace(no_new_privileges=True)
    if option == "writable-cgroups":
        return result._replace(writable_cgroups=True)
    if option == "disable":
        return result._replace(labels=(*result.labels, "disable"))
    separator = "=" if "=" in option else ":"
    key, found, value = option.partition(separator)
    if not found:
        raise InvalidParameter(f'invalid --security-opt 1: "{option}"')
    if key == "label":
        return result._replace(labels=(*result.labels, value))
    if key == "apparmor":
        return result._replace(apparmor=value)
    if key == "seccomp":
        return result._replace(seccomp="" if value == "builtin" else value)
    if key == "no-new-privileges" and value in _TRUE + _FALSE:
        return result._replace(no_new_privileges=value in _TRUE)
    if key == "writable-cgroups" and value in _TRUE + _FALSE:
        return result._replace(writable_cgroups=value in _TRUE)
    if key == "systempaths" and value == "unconfined":
        return result._replace(system_paths_unconfined=True)
    raise InvalidParameter(f'invalid --security-opt 2: "{option}"')
