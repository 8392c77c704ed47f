"""Who we are, for messages, headers and `version`."""

from __future__ import annotations

from sampan.spec.version import VERSION as VERSION

PROGRAM = "sampan"
BUILD = "release"

API_VERSION = "1.50"
MINIMUM_API_VERSION = "1.24"

DEFAULT_SOCKET = "/run/sampan.sock"
DEFAULT_HOST = "unix://" + DEFAULT_SOCKET


def user_agent() -> str:
    return f"Sampan-Client/{VERSION} (linux)"
