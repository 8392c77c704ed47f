"""pull, push, search, login and the look at a distribution: what is asked of the engine, and the form of answers."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from sampan.distribution.failures import RegistryError
from sampan.errors import InvalidParameter, NotFound, SampanError, Unauthorized
from sampan.spec.platform import Platform
from tests.fakes.distribution import DIGEST, FakeDistribution
from tests.fakes.engine import IMAGE
from tests.unit.api.conftest import Api

AUTH = {"username": "bob", "password": "se:cret", "serveraddress": "reg.test"}


@pytest.fixture
def registry(api: Api) -> FakeDistribution:
    found = api.engine.services.distribution
    assert isinstance(found, FakeDistribution)
    return found


def header(auth: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()


@pytest.mark.parametrize(
    ("query", "reference", "platform", "all_tags"),
    [
        ("fromImage=busybox&tag=latest", "busybox:latest", None, False),
        ("fromImage=busybox", "busybox", None, True),
        ("fromImage=reg.test/a/b:1", "reg.test/a/b:1", None, False),
        ("fromImage=reg.test/a/b:", "reg.test/a/b", None, True),
        (f"fromImage=busybox&tag={DIGEST}", f"busybox@{DIGEST}", None, False),
        (f"fromImage=busybox@{DIGEST}", f"busybox@{DIGEST}", None, False),
        (
            "fromImage=busybox&tag=1&platform=linux/arm/v7",
            "busybox:1",
            Platform("linux", "arm", "v7"),
            False,
        ),
    ],
)
async def test_what_is_pulled(
    api: Api,
    registry: FakeDistribution,
    query: str,
    reference: str,
    platform: Platform | None,
    all_tags: bool,
) -> None:
    """Name, tag or digest, platform; progress as lines of JSON."""
    registry.messages = [{"status": "Pulling from x", "id": "1"}, {"status": "Digest: x"}]
    registry.images = [IMAGE]
    answer = await api.call("POST", f"/images/create?{query}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert [json.loads(line) for line in answer.body.splitlines()] == registry.messages
    assert answer.body.endswith(b"\r\n")
    assert registry.calls == [("pull", (reference, platform, all_tags))]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("fromImage=UPPER", "invalid reference format: repository name must be lowercase"),
        ("fromImage=a:b:c", "invalid reference format"),
        ("fromImage=a&tag=!", "invalid tag format"),
        (
            "fromImage=a&platform=a/b/c/d",
            '"a/b/c/d": cannot parse platform specifier: invalid argument',
        ),
    ],
)
async def test_what_is_no_name(api: Api, query: str, text: str) -> None:
    """400, with dockerd's words."""
    answer = await api.call("POST", f"/images/create?{query}")
    assert (answer.status, answer.message) == (400, text)


@pytest.mark.parametrize(
    "target", ["/images/create?fromImage=x&tag=1", "/images/reg.test/a/x/push?tag=1"]
)
async def test_failures(api: Api, registry: FakeDistribution, target: str) -> None:
    """A status as long as nothing was written, a message of the stream afterwards."""
    registry.failure = NotFound("manifest for x not found")
    answer = await api.call("POST", target)
    assert (answer.status, answer.message) == (404, "manifest for x not found")
    registry.failure = RegistryError("toomanyrequests: slow down")
    assert (await api.call("POST", target)).status == 500
    registry.messages = [{"status": "Pulling from x", "id": "1"}]
    answer = await api.call("POST", target)
    assert answer.status == 200
    assert json.loads(answer.body.splitlines()[-1]) == {
        "errorDetail": {"message": "toomanyrequests: slow down"},
        "error": "toomanyrequests: slow down",
    }


@pytest.mark.parametrize(
    ("text", "user"),
    [
        (header(AUTH), "bob"),
        (header(AUTH).rstrip("="), "bob"),
        (header({"auth": base64.b64encode(b"bob:se:cret").decode()}), "bob"),
        (header({}), ""),
        ("", ""),
        ("nonsense!", ""),
        (header([1]), ""),
        (header({"username": 1}), ""),
        ("A" * 100_000, ""),
    ],
    ids=["whole", "unpadded", "joined", "empty", "none", "no base64", "list", "number", "huge"],
)
async def test_credentials(api: Api, registry: FakeDistribution, text: str, user: str) -> None:
    """X-Registry-Auth; what cannot be read is nobody's, as in dockerd."""
    registry.messages = [{"status": "x"}]
    answer = await api.call("POST", "/images/create?fromImage=x&tag=1", X_Registry_Auth=text)
    if answer.status == 431:
        assert len(text) > 65536  # more than any head may have
        return
    assert registry.credentials.username == user
    assert registry.credentials.password == ("se:cret" if user else "")


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("/images/reg.test:5000/a/b/push?tag=1", ("reg.test:5000/a/b:1", False)),
        ("/images/reg.test/a/push", ("reg.test/a", True)),
        ("/images/reg.test/a:2/push", ("reg.test/a:2", False)),
    ],
)
async def test_what_is_pushed(
    api: Api, registry: FakeDistribution, target: str, call: tuple[str, bool]
) -> None:
    """A tag, or all of them."""
    registry.messages = [{"status": "x"}]
    assert (await api.call("POST", target, X_Registry_Auth=header(AUTH))).status == 200
    assert registry.calls == [("push", call)]
    assert registry.credentials.username == "bob"


@pytest.mark.parametrize(
    "target", ["/images/create?fromImage=x&tag=1", "/images/reg.test/x/push?tag=1"]
)
async def test_a_client_that_goes_away_ends_the_work(
    api: Api, registry: FakeDistribution, target: str
) -> None:
    """Ctrl-C of `docker pull`."""
    registry.messages = [{"status": "Pulling"}]
    registry.gate = asyncio.Event()
    reader, writer = await api.open()
    writer.write(f"POST {target} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".encode())
    await reader.readuntil(b"Pulling")
    writer.close()
    async with asyncio.timeout(10):
        await registry.cancelled.wait()


async def test_search(api: Api, registry: FakeDistribution) -> None:
    """Term, limit and filters; the five fields of a result."""
    answer = await api.call(
        "GET", '/images/search?term=busy&limit=3&filters={"stars":{"2":true}}'.replace('"', "%22")
    )
    assert answer.json == [
        {
            "star_count": 3,
            "is_official": True,
            "name": "busybox",
            "is_automated": False,
            "description": "Base",
        }
    ]
    assert registry.calls == [("search", ("busy", 3, {"stars": ["2"]}))]
    assert (await api.call("GET", "/images/search?term=x&limit=y")).status == 400


async def test_a_look_at_a_distribution(api: Api, registry: FakeDistribution) -> None:
    """Descriptor and platforms."""
    answer = await api.call("GET", "/distribution/reg.test/a/b:1/json")
    assert answer.json == {
        "Descriptor": {
            "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
            "digest": DIGEST,
            "size": 7,
        },
        "Platforms": [
            {"architecture": "arm", "os": "linux", "variant": "v7"},
            {"architecture": "amd64", "os": "linux"},
        ],
    }
    assert registry.calls == [("inspect", ("reg.test/a/b:1",))]
    assert (await api.call("GET", "/distribution/UPPER/json")).status == 400


async def test_login(api: Api, registry: FakeDistribution) -> None:
    """`POST /auth`, and its refusals."""
    answer = await api.call("POST", "/auth", AUTH)
    assert (answer.status, answer.json) == (
        200,
        {"Status": "Login Succeeded", "IdentityToken": "token"},
    )
    assert registry.credentials.password == "se:cret"
    for failure, status in ((Unauthorized("no"), 401), (SampanError("down"), 500)):
        registry.failure = failure
        answer = await api.call("POST", "/auth", AUTH)
        assert (answer.status, answer.message) == (status, str(failure))
    registry.failure = InvalidParameter("never asked")
    assert (await api.call("POST", "/auth", {"username": 1})).message.startswith("invalid JSON")


async def test_a_client_that_does_not_read(api: Api, registry: FakeDistribution) -> None:
    """Amounts are left out as long as nobody takes them; what a layer has become is not."""
    amount = {"status": "Downloading", "id": "x" * 1000, "progressDetail": {"current": 1}}
    states = [{"status": "Pull complete", "id": str(n), "progressDetail": {}} for n in range(3)]
    registry.messages = [amount] * 20_000 + states
    reader, writer = await api.open()
    writer.write(
        b"POST /images/create?fromImage=x HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"
    )
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        while not body.endswith(b"\r\n0\r\n\r\n"):
            body += await reader.read(1 << 16)
    writer.close()
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) < 2 << 20
    assert body.count(b"Pull complete") == 3
