"""The registry: every container's actor, found by full id, name or prefix of the id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sampan.engine.actor import Actor
from sampan.engine.names import generate
from sampan.engine.records import ContainerRecord
from sampan.errors import Conflict, InvalidParameter, NotFound

_HEX = frozenset("0123456789abcdef")


class Containers:
    def __init__(self) -> None:
        self._actors: dict[str, Actor] = {}
        self._names: dict[str, str] = {}  # name → id, also of what is being created

    def get(self, ref: str) -> ContainerRecord:
        """By full id, name (with or without the leading slash), or unique prefix of the id.

        Raises NotFound, InvalidParameter (ambiguous)."""
        return self.actor(ref).record

    def all(self) -> list[ContainerRecord]:
        """Newest first."""
        return sorted(
            (actor.record for actor in self._actors.values()), key=lambda r: r.created, reverse=True
        )

    def __len__(self) -> int:
        return len(self._actors)

    def actors(self) -> list[Actor]:
        return list(self._actors.values())

    def actor(self, ref: str) -> Actor:
        """As `get`, for verbs."""
        actor = self._actors.get(ref) or self._actors.get(
            self._names.get(ref.removeprefix("/"), "")
        )
        if actor is not None:
            return actor
        if not ref or not _HEX.issuperset(ref):
            raise NotFound(f"No such container: {ref}")
        found = [container_id for container_id in self._actors if container_id.startswith(ref)]
        if len(found) > 1:
            raise InvalidParameter(f"multiple IDs found with provided prefix: {ref}")
        if not found:
            raise NotFound(f"No such container: {ref}")
        return self._actors[found[0]]

    def is_gone(self, container_id: str) -> bool:
        """Whether it was removed."""
        return container_id not in self._actors

    def add(self, actor: Actor) -> None:
        self._names[actor.record.name] = actor.record.id
        self._actors[actor.record.id] = actor

    def forget(self, actor: Actor) -> None:
        self._actors.pop(actor.record.id, None)
        if self._names.get(actor.record.name) == actor.record.id:
            del self._names[actor.record.name]

    def rename(self, actor: Actor, old: str) -> None:
        """The record has its new name, which was reserved."""
        if self._names.get(old) == actor.record.id:
            del self._names[old]
        self._names[actor.record.name] = actor.record.id

    @contextmanager
    def reserved(self, name: str, container_id: str) -> Iterator[None]:
        """Hold a name while something is done for it; it stays only if `add` or `rename` took it.

        Raises Conflict."""
        holder = self._names.get(name)
        if holder is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}".'
                " You have to remove (or rename) that container to be able to reuse that name."
            )
        self._names[name] = container_id
        try:
            yield
        finally:
            owner = self._actors.get(container_id)
            if owner is None or owner.record.name != name:
                del self._names[name]

    def free_name(self) -> str:
        attempt = 0
        while (name := generate(attempt)) in self._names:
            attempt += 1
        return name
