"""A process that works on a store and kills itself at the N-th call that changes a disk.

    python -m tests.fakes.dying DATA-ROOT ACTION N ARCHIVE      ACTION: load, import, rmi, prune, tag, volume, snapshot, pull or push (a name),
                                                             commit, commit-copy, unshare (of the container `box`)

Exits with 0 when the action was over before the N-th call, and dies by SIGKILL otherwise.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

from sampan.distribution.credentials import NOBODY
from sampan.distribution.distribution import Distribution
from sampan.distribution.options import Options
from sampan.engine.image_prune import prune_images
from sampan.spec.container import ContainerConfig
from sampan.spec.reference import parse
from sampan.store import commit, metadata
from sampan.store.images import Image
from sampan.store.manifests import encode_child
from sampan.store.store import Store, open_store
from tests.fakes.spawn import ForkingSpawner

COUNTED = ("open", "write", "pwrite", "fsync", "fchmod", "rename", "unlink", "mkdir")


class Bomb:
    """Counts calls; the last one still happens."""

    def __init__(self, at: int) -> None:
        self.left = at

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted


def arm(bomb: Bomb) -> None:
    for name in COUNTED:
        setattr(os, name, bomb.wrap(getattr(os, name)))
    execute = bomb.wrap(metadata.Metadata.execute)
    metadata.Metadata.execute = execute  # type: ignore[method-assign]


async def chunks(path: str) -> AsyncIterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(20_000):
            yield piece


async def act(store: Store, action: str, archive: str) -> None:
    if action == "load":
        await store.load(chunks(archive), lambda message: None)
    elif action == "pull":
        await pull(store, archive)
    elif action == "push":
        await push(store, archive)
    elif action == "tag":
        store.tag("old:1", repo="old", tag="2")
    elif action == "import":
        await store.import_rootfs(chunks(archive), reference="new:1", changes=["CMD sh"])
    elif action == "rmi":
        store.remove_image("old:1", uses={})
        await store.trash.empty()
    elif action == "prune":
        await prune(store)
        await store.trash.empty()
    elif action in ("commit", "commit-copy"):
        await commit_box(store, "new:1", copy=action == "commit-copy")
    elif action == "unshare":
        await store.snapshots.unshare("box")
    elif action == "volume":
        store.volumes.create("vol")
        await store.volumes.remove("vol")
        await store.trash.empty()
    elif action == "snapshot":
        top = store.images.resolve("old:1").top
        store.snapshots.prepare("container", top)
        store.snapshots.remove("container")
        await store.trash.empty()


async def prune(store: Store) -> None:
    """`docker image prune -a`, where there are no containers."""
    services: Any = SimpleNamespace(
        store=store,
        containers=SimpleNamespace(all=list),
        events=SimpleNamespace(emit=lambda *words: None),
    )
    await prune_images(services, {"dangling": ["false"]})


async def commit_box(store: Store, name: str, *, copy: bool) -> Image:
    """What the container `box` wrote over `old:1` becomes an image."""
    base = store.images.resolve("old:1")
    with store.leases.open() as lease, store.unpacker.stage() as stage:
        if copy:
            await store.snapshots.copy("box", stage, sync=False)
            written = await commit.take_copy(store, "box", stage, lease)
        else:
            written = await commit.take(store, "box", lease)
        raw = encode_child(
            base.raw_config,
            ContainerConfig(cmd=["sh"]),
            written.diff,
            author="",
            message="",
            created_by="sh",
            created="2026-11-24T00:00:00Z",
        )
        return await commit.record(store, written, base, raw, lease, name=parse(name))


async def pull(store: Store, name: str) -> None:
    distribution = Distribution(store, Options(certs_dirs=()))
    await distribution.pull(parse(name), None, NOBODY, lambda message: None)


async def push(store: Store, name: str) -> None:
    distribution = Distribution(store, Options(certs_dirs=()))
    try:
        await distribution.push(parse(name), NOBODY, lambda message: None)
    finally:
        await distribution.close()


async def main(root: str, action: str, at: int, archive: str) -> None:
    spawner = ForkingSpawner()
    store = open_store(root, spawner)
    arm(Bomb(at))
    await act(store, action, archive)
    os._exit(0)  # without the calls of a clean end


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
