"""All networks, by id, name, or the beginning of an id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from sampan.engine.network.records import BUILT_IN, NetworkRecord, built_in, decode, encode
from sampan.errors import Conflict, InvalidParameter, NotFound
from sampan.store.metadata import Metadata

log = logging.getLogger(__name__)


class NetworkRegistry:
    def __init__(self, metadata: Metadata) -> None:
        self._rows = metadata.networks
        self._records: dict[str, NetworkRecord] = {}
        self._reserved: set[str] = set()
        self.restoring = asyncio.Lock()
        for name in BUILT_IN[1:]:
            self.show(built_in(name))

    def load(self) -> list[NetworkRecord]:
        """Users' networks. A row that is damaged is left alone and reported."""
        found = []
        for row in self._rows.all():
            try:
                record = decode(row.body)
            except (msgspec.ValidationError, msgspec.DecodeError) as error:
                log.error("the record of network %s is damaged, it is ignored: %s", row.id, error)
                continue
            found.append(record)
            self._records[record.id] = record
        return found

    def show(self, record: NetworkRecord) -> None:
        """A built-in one, which has no row."""
        self._records[record.id] = record

    @contextmanager
    def reserved(self, name: str) -> Iterator[None]:
        """Nobody else makes a network of this name meanwhile. Raises Conflict."""
        if name in self._reserved or self.named(name) is not None:
            raise Conflict(f"network with name {name} already exists")
        self._reserved.add(name)
        try:
            yield
        finally:
            self._reserved.discard(name)

    def put(self, record: NetworkRecord) -> None:
        self._rows.put(record.id, record.name, encode(record))
        self._records[record.id] = record

    def delete(self, record: NetworkRecord) -> None:
        self._rows.delete(record.id)
        self._records.pop(record.id, None)

    def all(self) -> list[NetworkRecord]:
        """The built-in ones first, then the oldest."""
        return sorted(
            self._records.values(),
            key=lambda item: (item.created, BUILT_IN.index(item.name) if item.built_in else 0),
        )

    def named(self, name: str) -> NetworkRecord | None:
        return next((item for item in self._records.values() if item.name == name), None)

    def find(self, ref: str) -> NetworkRecord | None:
        try:
            return self.get(ref)
        except (NotFound, InvalidParameter):
            return None

    def get(self, ref: str) -> NetworkRecord:
        """Raises NotFound, InvalidParameter (ambiguous)."""
        exact = self._records.get(ref) or self.named("bridge" if ref == "default" else ref)
        if exact is not None:
            return exact
        begun = [item for item in self._records.values() if ref and item.id.startswith(ref)]
        if len(begun) > 1:
            raise InvalidParameter(
                f"network {ref} is ambiguous ({len(begun)} matches found based on ID prefix)"
            )
        if not begun:
            raise NotFound(f"network {ref} not found")
        return begun[0]
