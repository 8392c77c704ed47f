"""What the API and the engine hand each other when a connection turns into a stream."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(slots=True)
class ClientStream:
    """A client's connection after its upgrade was answered: a descriptor (a duplicate, the taker's to close)
    and the bytes of the client that were already read from it."""

    fd: int
    prefetched: bytes = b""

    def take(self) -> int:
        """Give the descriptor away; `close` does nothing afterwards."""
        fd, self.fd = self.fd, -1
        return fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.take())
