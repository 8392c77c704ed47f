from __future__ import annotations

from dataclasses import dataclass

from sampan.engine.services import Services


@dataclass(frozen=True, slots=True)
class WaitResult:
    exit_code: int
    error: str = ""


class Waiter:
    """A wait that is registered: what happens from now on is not missed."""

    async def result(self) -> WaitResult:
        """Wait for the condition. Cancel freely."""
        raise NotImplementedError

    def close(self) -> None:
        """Forget it; needed when `result` is never awaited or was cancelled."""


def wait_container(services: Services, ref: str, *, condition: str = "not-running") -> Waiter:
    """Register (the API then sends its 200 and headers, then awaits `result`). `condition`: not-running (default for empty), next-exit, removed. Raises NotFound, InvalidParameter."""
    raise NotImplementedError
