"""`docker start`: ask the container's actor to start it (`lifecycle.py`, `launch.py`)."""

from __future__ import annotations

from sampan.engine import lifecycle
from sampan.engine.services import Services


async def start_container(services: Services, ref: str) -> None:
    """Returns when the command runs.

    Raises NotFound, NotModified (it runs), Conflict (paused, being removed), InvalidParameter (the command
    cannot be run), SampanError (another step failed); the texts let the docker client choose 125, 126 or 127.
    """
    actor = services.containers.actor(ref)
    await actor.do(lambda: lifecycle.start(services, actor))
