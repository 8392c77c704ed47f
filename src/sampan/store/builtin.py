"""The built-in image `hello-world:latest`, so that a first `run` needs no registry.

Made once in the life of a data root; a value in the database remembers it, so that an `rmi` stays. Its bytes
depend on the architecture only: everybody's has the same id.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from sampan.spec.container import ContainerConfig
from sampan.spec.platform import host
from sampan.spec.programs import print_program
from sampan.spec.reference import parse
from sampan.store.import_rootfs import receive, record
from sampan.store.manifests import encode_config
from sampan.wire import tar

if TYPE_CHECKING:
    from sampan.store.store import Store

NAME = "hello-world:latest"
_KEY = "builtin.hello-world"
_CREATED = "2026-11-24T00:00:00Z"
_MTIME_NS = 1_795_478_400 * 1_000_000_000

TEXT = """
Hello from sampan! A container has just run on this machine, from start to end.

What happened:
 1. The command asked the daemon, sampand, over its socket to run the image "hello-world".
 2. The image is built in: one layer with one small program, and a config that names it.
 3. The daemon laid a writable layer over it and forked a monitor for this container alone.
 4. The monitor made the namespaces, limits and mounts, dropped what a container must not have,
    and executed the program.
 5. The program wrote this text. The monitor logged it and passed it on to your terminal.

What to try next:
 sampan ps -a                             the container is still there; `sampan rm` takes it away
 sampan import rootfs.tar mine            any root file system as a tar becomes an image
 sampan run -it --rm mine sh              a shell inside it
 docker -H unix:///run/sampan.sock ps     the docker command works as well

"""


async def install(store: Store) -> None:
    """Make the image unless this data root has had it already."""
    if store.metadata.values.get(_KEY) is not None:
        return
    platform = host()
    program = print_program(os.uname().machine, TEXT.encode())
    with store.leases.open() as lease, store.unpacker.stage() as stage:
        layer = await receive(store, _layer(program), stage, lease)
        config = encode_config(
            ContainerConfig(cmd=["/hello"], env=["PATH=/"], working_dir="/"),
            [layer.unpacked.diff_id],
            platform=platform,
            message="Built into sampan",
            created=_CREATED,
        )
        await record(store, config, layer, stage, lease, name=parse(NAME))
    store.metadata.values.put(_KEY, b"1")


async def _layer(program: bytes) -> AsyncIterator[bytes]:
    header = tar.Header(b"hello", mode=0o755, size=len(program), mtime_ns=_MTIME_NS)
    yield tar.encode_header(header) + program + tar.padding(len(program)) + tar.END_OF_ARCHIVE
