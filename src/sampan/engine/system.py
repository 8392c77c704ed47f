from __future__ import annotations

from typing import Any

from sampan.engine.services import Services


def info(services: Services) -> dict[str, Any]:
    """The API's SystemInfo, in its newest form."""
    raise NotImplementedError


def version(services: Services) -> dict[str, Any]:
    """The API's SystemVersion, without ApiVersion and MinAPIVersion (the API room's)."""
    raise NotImplementedError


async def disk_usage(services: Services) -> dict[str, Any]:
    """The API's SystemDataUsage basics."""
    raise NotImplementedError
