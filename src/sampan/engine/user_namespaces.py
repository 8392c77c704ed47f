"""A container's own user namespace, and the network namespace that must belong to it: sysctls, ports below 1024. And
one by which the host's files are shown as in a container.

Made in a child of the spawner (`monitor/user_namespace.py`), held by descriptors until the container has joined them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.engine.remap import Range
from sampan.engine.services import Services
from sampan.store import jobs


async def take(services: Services, namespaces: dict[str, int], *, network: bool) -> None:
    """Add "user", unless it is joined, and "network" if it is wanted. Raises OSError, SampanError."""
    joined = [namespaces["user"]] if "user" in namespaces else []
    if joined and not network:
        return
    remap = services.remap
    assert remap is not None
    args = {"uids": remap.uids, "gids": remap.gids, "network": network}
    async with jobs.Job(services.spawn, "user-namespace", args, joined) as job:
        _, made = await job.answer()
    kinds = [*([] if joined else ["user"]), *(["network"] if network else [])]
    namespaces.update(zip(kinds, made, strict=True))


async def make_for_mounts(services: Services) -> int:
    """A descriptor of one that leads from the host's ids to the container's. Raises OSError, SampanError."""
    remap = services.remap
    assert remap is not None
    args = {"uids": _turned(remap.uids), "gids": _turned(remap.gids), "network": False}
    async with jobs.Job(services.spawn, "user-namespace", args, []) as job:
        _, made = await job.answer()
    return made[0]


def _turned(ranges: Iterable[Range]) -> list[Range]:
    return [(outside, inside, size) for inside, outside, size in ranges]
