from __future__ import annotations

from dataclasses import dataclass

from sampan.engine.records import ExecRecord
from sampan.engine.services import Services
from sampan.engine.streams import ClientStream


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """The API's ExecConfig."""

    command: tuple[str, ...]
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    tty: bool = False
    user: str = ""
    privileged: bool = False
    env: tuple[str, ...] = ()
    working_dir: str = ""
    detach_keys: str | None = None
    console_size: tuple[int, int] | None = None  # rows, columns


class ExecSession:
    """An exec that may start. The API answers the upgrade, then calls `connect`."""

    multiplexed: bool

    async def connect(self, client: ClientStream) -> None:
        """Start it on `client`, which is taken over. A failure (command not found, …) is written to the client, as dockerd does; returns when the process runs or has failed."""
        raise NotImplementedError


async def create_exec(services: Services, ref: str, request: ExecRequest) -> str:
    """The new exec's id. Raises NotFound, Conflict (not running, paused), InvalidParameter ("No exec command specified")."""
    raise NotImplementedError


def prepare_exec(
    services: Services,
    exec_id: str,
    *,
    tty: bool = False,
    console_size: tuple[int, int] | None = None,
) -> ExecSession:
    """For an attached start. Raises NotFound, Conflict (has run, container not running)."""
    raise NotImplementedError


async def start_exec(
    services: Services,
    exec_id: str,
    *,
    tty: bool = False,
    console_size: tuple[int, int] | None = None,
) -> None:
    """Start detached. Raises NotFound, Conflict, InvalidParameter (the command)."""
    raise NotImplementedError


def inspect_exec(services: Services, exec_id: str) -> ExecRecord:
    """Raises NotFound ("No such exec instance: …")."""
    raise NotImplementedError


async def resize_exec(services: Services, exec_id: str, *, height: int, width: int) -> None:
    """Raises NotFound, Conflict (does not run)."""
    raise NotImplementedError
