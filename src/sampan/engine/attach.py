from __future__ import annotations

from dataclasses import dataclass

from sampan.engine.services import Services
from sampan.engine.streams import ClientStream


@dataclass(frozen=True, slots=True)
class AttachOptions:
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = False
    logs: bool = False
    detach_keys: str | None = None  # None: the default, ctrl-p,ctrl-q


class Attachment:
    """An attach that was found possible. The API answers the upgrade, then calls `connect`."""

    multiplexed: bool  # no terminal: 8-byte frames

    async def connect(self, client: ClientStream) -> None:
        """Takes `client` over, in success and failure; returns as soon as it is handed over. Never raises for the container's sake: a failure is written to the client."""
        raise NotImplementedError


def attach_container(services: Services, ref: str, options: AttachOptions) -> Attachment:
    """Raises NotFound, Conflict (paused, restarting), InvalidParameter (detach keys)."""
    raise NotImplementedError
