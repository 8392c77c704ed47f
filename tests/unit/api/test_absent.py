"""What this engine does not have: refused in words, or empty where clients ask for everything."""

from __future__ import annotations

import pytest

from tests.unit.api.conftest import Api


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/build", 501, "building images is not supported by this engine"),
        ("POST", "/plugins/pull", 501, "plugins are not supported by this engine"),
        ("POST", "/containers/a/checkpoints", 501, "checkpoints are not supported by this engine"),
        ("POST", "/swarm/init", 501, "swarm mode is not supported by this engine"),
        ("GET", "/nodes", 503, "This node is not a swarm manager"),
        ("POST", "/services/create", 503, "This node is not a swarm manager"),
    ],
)
async def test_refused(api: Api, method: str, path: str, status: int, text: str) -> None:
    answer = await api.call(method, path)
    assert answer.status == status
    assert answer.message.startswith(text)


async def test_empty(api: Api) -> None:
    """What `docker system prune` and `docker plugin ls` ask for."""
    pruned = await api.call("POST", "/build/prune")
    assert (pruned.status, pruned.json) == (200, {"CachesDeleted": None, "SpaceReclaimed": 0})
    assert (await api.call("GET", "/plugins")).json == []
