"""`docker login`: whether a registry knows a user. Nothing is kept here; that is the client's affair."""

from __future__ import annotations

from sampan.distribution.credentials import Credentials
from sampan.distribution.login import LoggedIn
from sampan.engine.services import Services


async def log_in(services: Services, credentials: Credentials) -> LoggedIn:
    """Raises Unauthorized, SampanError with dockerd's texts."""
    return await services.distribution.login(credentials)
