"""A token server sees a password only when the registry may send people there."""

from __future__ import annotations

import pytest

from sampan.distribution import realm
from sampan.distribution.client import Client
from sampan.distribution.failures import AuthFailed
from sampan.distribution.hosts import Host
from tests.unit.distribution.conftest import options

PUBLIC = Host("https", "registry.test")
INSIDE = Host("https", "10.0.0.5")
LOOPBACK = Host("http", "127.0.0.1:5000", verify=False)
PLAIN = Host("http", "plain.test", verify=False)


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """`*.corp` is in a private network, every other name is public."""

    async def is_local(authority: str) -> bool:
        name = authority.partition(":")[0]
        return name.startswith(("10.", "127.", "169.254.", "192.168.", "localhost")) or (
            authority.startswith("[") or name.endswith(".corp")
        )

    monkeypatch.setattr(realm, "is_local", is_local)


@pytest.mark.parametrize(
    ("registry", "text", "public"),
    [
        (PUBLIC, "https://registry.test/token", False),
        (PUBLIC, "https://registry.test:443/token", False),
        (PUBLIC, "https://auth.test/token?x=y", True),
        (PUBLIC, "https://8.8.8.8/token", False),
        (INSIDE, "https://10.0.0.6/token", False),
        (Host("https", "registry.corp"), "https://auth.corp/token", False),
        (LOOPBACK, "http://127.0.0.1:5001/token", False),
        (LOOPBACK, "https://auth.test/token", False),
        (PLAIN, "http://plain.test/token", False),
        (PLAIN, "https://auth.test/token", True),
    ],
)
async def test_good_realms(registry: Host, text: str, public: bool) -> None:
    """The registry itself, or another host over TLS whose address is checked when connecting."""
    found = await realm.check_realm(Client(options()), registry, text)
    assert (found.url, found.public) == (text, public)


@pytest.mark.parametrize(
    ("registry", "text"),
    [
        (PUBLIC, ""),
        (PUBLIC, "token"),
        (PUBLIC, "//auth.test/token"),
        (PUBLIC, "ftp://auth.test/token"),
        (PUBLIC, "file:///etc/passwd"),
        (PUBLIC, "http://auth.test/token"),
        (PUBLIC, "http://registry.test/token"),
        (PUBLIC, "https://user:pw@auth.test/token"),
        (PUBLIC, "https://registry.test@evil.test/token"),
        (PUBLIC, "https://auth.test:port/token"),
        (PUBLIC, "http://127.0.0.1/token"),
        (PUBLIC, "https://127.0.0.1/token"),
        (PUBLIC, "https://localhost/token"),
        (PUBLIC, "https://169.254.169.254/latest"),
        (PUBLIC, "https://192.168.1.1/token"),
        (PUBLIC, "https://[::1]/token"),
        (PLAIN, "http://other.test/token"),
        (PLAIN, "http://127.0.0.1:80/token"),
        (LOOPBACK, "http://other.test/token"),
        (Host("https", "127.0.0.1:5000"), "http://127.0.0.1:5001/token"),
    ],
)
async def test_bad_realms(registry: Host, text: str) -> None:
    """Plain HTTP, private networks, tricks with URLs (CVE-2026-33540, -48978, -65388)."""
    with pytest.raises(AuthFailed, match=r"token realm .* refused"):
        await realm.check_realm(Client(options()), registry, text)
