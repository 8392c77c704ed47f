"""`docker export`: the file system of a container as a tar, whether it runs or not.

Its layers are looked at as one read-only overlay that is mounted nowhere; volumes and other mounts are not in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from sampan.engine.commit import check_present
from sampan.engine.query import inspect_container
from sampan.engine.services import Services
from sampan.store import rebuild


def export_container(services: Services, ref: str) -> AsyncGenerator[bytes, None]:
    """Raises NotFound, Conflict (it is being removed); the stream raises OSError, SampanError."""
    record = inspect_container(services, ref)
    check_present(record, "export")
    snapshots = services.store.snapshots
    below = snapshots.layer_paths(snapshots.parent(record.id))
    return rebuild.packed(
        services.store.spawn, [snapshots.upper_path(record.id), *below], layer=False
    )
