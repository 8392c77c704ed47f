from __future__ import annotations

from sampan.engine.records import ContainerRecord


class Containers:
    """The registry: every container's actor, found by id, name or prefix."""

    def get(self, ref: str) -> ContainerRecord:
        """By full id, name (with or without the leading slash) or unique prefix of the id. Raises NotFound, InvalidParameter."""
        raise NotImplementedError

    def all(self) -> list[ContainerRecord]:
        """Newest first."""
        raise NotImplementedError
