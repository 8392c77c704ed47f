"""Leases: what is in flight, and so must not be collected though nothing refers to it yet.

They live in memory: whoever held one is gone after a restart, and so is the lease.
Hold first, then look whether the thing is there: the collector may run at any `await`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Kind = Literal["blob", "layer"]


class Lease:
    """`with leases.open() as lease: lease.hold("blob", digest)`; the end lets everything go."""

    def __init__(self, owner: Leases) -> None:
        self._owner = owner
        self._passing = False
        self.items: set[tuple[Kind, str]] = set()

    def hold(self, kind: Kind, key: str) -> None:
        """`key` is a digest (blob) or a ChainID (layer)."""
        self.items.add((kind, key))

    def hold_passing(self, kind: Kind, key: str) -> None:
        """As `hold`, of what is made for the lease alone: at its end it is collected."""
        self._passing = True
        self.hold(kind, key)

    def close(self) -> None:
        self._owner.remove(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close()
        if self._passing or (kind is not None and self.items):
            self._owner.on_waste()


class Leases:
    """`on_waste` is called when a lease ends whose things may be of no use to anybody: what held them has failed."""

    def __init__(self) -> None:
        self._open: set[Lease] = set()
        self.on_waste: Callable[[], None] = lambda: None

    def open(self) -> Lease:
        lease = Lease(self)
        self._open.add(lease)
        return lease

    def remove(self, lease: Lease) -> None:
        self._open.discard(lease)

    def held(self, kind: Kind) -> set[str]:
        """Every key of `kind` that some lease holds."""
        return {key for lease in self._open for held, key in lease.items if held == kind}
