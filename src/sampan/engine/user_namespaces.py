"""A container's own user namespace, and the network namespace that must belong to it: sysctls, ports below 1024.

Made in a child of the spawner (`monitor/user_namespace.py`), held by descriptors until the container has joined them.
"""

from __future__ import annotations

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
