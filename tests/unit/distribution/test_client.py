"""The rules for every request: redirects, deadlines, limits, TLS, and texts of failures below HTTP."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sampan.distribution import client as module
from sampan.distribution.client import Client, PublicResolver, RateLimit, Request, is_local, read
from sampan.distribution.failures import RegistryError, Unreachable
from sampan.distribution.hosts import Host
from sampan.distribution.proxy import Proxies
from sampan.errors import InvalidParameter, SampanError
from tests.fakes.registry import Registry, answer, redirected, streamed
from tests.unit.distribution.conftest import options


async def get(client: Client, url: str, *, verify: bool = True, **more: Any) -> tuple[int, bytes]:
    scheme, _, rest = url.partition("://")
    host = Host(scheme, rest.partition("/")[0], verify)
    authorization = more.pop("authorization", None)
    async with client.send(Request("GET", url, host, **more), authorization) as response:
        body = await read(response, 1 << 20)
        assert body is not None
        return response.status, body


async def test_redirects_are_followed_without_the_password(
    client: Client, registry: Registry
) -> None:
    """To another port is to another origin; coming back does not bring the password back."""
    async with Registry() as other:
        registry.fault("GET", "/one", redirected(other.origin))
        other.fault("GET", "/one", answer(302, Location=f"{registry.origin}/two"))
        registry.fault("GET", "/two", answer(200, b"here"))
        found = await get(client, f"{registry.origin}/one", authorization="Basic c2VjcmV0")
        assert found == (200, b"here")
        assert [seen.authorization for seen in other.seen] == [""]
        assert [seen.authorization for seen in registry.seen] == ["Basic c2VjcmV0", ""]


async def test_redirects_on_the_same_host_keep_it(client: Client, registry: Registry) -> None:
    """A relative Location is one of them; signatures in it stay as they are."""
    registry.fault("GET", "/one", answer(307, Location="/two?sig=a%2Fb%3D"))
    registry.fault("GET", "/two", answer(200, b"here"))
    await get(client, f"{registry.origin}/one", authorization="Basic x")
    assert registry.seen[1].path == "/two?sig=a%2Fb%3D"
    assert registry.seen[1].authorization == "Basic x"


async def test_ten_thousand_redirects_are_eleven(client: Client, registry: Registry) -> None:
    """And then an error."""
    registry.fault("GET", "/one", answer(302, Location="/one"))
    with pytest.raises(RegistryError, match="stopped after 10 redirects"):
        await get(client, f"{registry.origin}/one")
    assert len(registry.seen) == 11


@pytest.mark.parametrize(
    "location",
    [
        "ftp://x/y",
        "http://user:pw@127.0.0.1/",
        "http://127.0.0.1:port/",
        "file:///etc/passwd",
    ],
)
async def test_odd_redirects_are_refused(client: Client, registry: Registry, location: str) -> None:
    """What is no URL of a registry."""
    registry.fault("GET", "/one", answer(302, Location=location))
    with pytest.raises(RegistryError, match="redirect refused"):
        await get(client, f"{registry.origin}/one")


async def test_uploads_follow_no_redirect(client: Client, registry: Registry) -> None:
    """Neither with nor without the body."""
    registry.fault("POST", "/one", redirected("http://127.0.0.1:1"))
    host = Host("http", registry.authority)
    with pytest.raises(RegistryError, match="redirects are not followed"):
        async with client.send(Request("POST", f"{registry.origin}/one", host, body=b"x")):
            pass


@pytest.mark.parametrize(
    ("url", "plain", "allowed"),
    [
        ("http://other.test/x", False, False),
        ("http://other.test/x", True, True),
        ("http://127.0.0.1/x", False, True),
        ("https://other.test/x", False, True),
    ],
)
def test_tls_is_not_left(url: str, plain: bool, allowed: bool) -> None:
    """From TLS to plain HTTP only on this machine."""
    client = Client(options())
    if allowed:
        assert client.host_of(url, plain=plain).origin == url[:-2]
    else:
        with pytest.raises(InvalidParameter, match=r"plain HTTP to other.test is not allowed"):
            client.host_of(url, plain=plain)


async def test_a_slow_drip_of_a_document_ends(registry: Registry) -> None:
    """One byte at a time keeps nobody for longer than the whole may take."""
    client = Client(options(document=0.3))

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    registry.fault("GET", "/drip", streamed(drip))
    began = time.monotonic()
    with pytest.raises(Unreachable, match="context deadline exceeded"):
        await get(client, f"{registry.origin}/drip")
    assert time.monotonic() - began < 3
    await client.close()


async def test_silence_ends(registry: Registry) -> None:
    """Whoever accepts and says nothing."""
    client = Client(options(silence=0.1, document=60))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v2/"
        with pytest.raises(Unreachable) as caught:
            await get(client, url)
    assert str(caught.value) == (
        f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    )
    await client.close()


async def test_an_endless_body_is_not_read(client: Client, registry: Registry) -> None:
    """Only up to the limit."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    registry.fault("GET", "/endless", streamed(endless))
    host = Host("http", registry.authority)
    async with client.send(Request("GET", f"{registry.origin}/endless", host)) as response:
        assert await read(response, 1 << 20) is None


@pytest.mark.parametrize(
    "flood",
    [
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GARBAGE\r\n\r\n",
        b"",
    ],
)
async def test_broken_http_is_a_clear_error(client: Client, flood: bytes) -> None:
    """Floods of headers, two lengths, bad chunks, no HTTP at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(flood)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2/"
    async with server:
        with pytest.raises(Unreachable) as caught:
            await get(client, url)
    assert str(caught.value).startswith(f'Get "{url}": ')
    assert len(str(caught.value)) < 500


async def test_failures_to_connect_are_gos(client: Client, registry: Registry) -> None:
    """Nobody there, no such name, no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    cases = {
        f"http://127.0.0.1:{port}/v2/": f"dial tcp 127.0.0.1:{port}: connect: connection refused",
        f"https://{registry.authority}/v2/": "http: server gave HTTP response to HTTPS client",
    }
    for url, text in cases.items():
        with pytest.raises(Unreachable) as caught:
            await get(client, url)
        assert str(caught.value) == f'Get "{url}": {text}'
        assert caught.value.connecting


async def test_a_name_that_is_none_fails_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a text that says so."""

    async def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(Unreachable) as caught:
        await get(client, "https://registry.invalid/v2/")
    text = 'Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid: no such host'
    assert str(caught.value) == text


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a certificate for 127.0.0.1 and one for a client."""
    folder = tmp_path_factory.mktemp("tls")
    script = """
        set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca
        for name in server client; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
            printf 'subjectAltName=IP:127.0.0.1' >ext
            openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $name.crt
        done
    """
    subprocess.run(["sh", "-c", script], cwd=folder, check=True, capture_output=True)
    return folder


def server_context(folder: Path, *, client_ca: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # on in Python 3.13
        context.load_verify_locations(folder / "ca.crt")
    return context


async def test_certificates_are_checked(client: Client, authority: Path) -> None:
    """A CA that nobody knows is refused; not for a host that is allowed to be insecure."""
    async with Registry(tls=server_context(authority)) as registry:
        url = f"{registry.origin}/v2/"
        with pytest.raises(Unreachable) as caught:
            await get(client, url)
        assert str(caught.value) == f'Get "{url}": x509: certificate signed by unknown authority'
        assert (await get(client, url, verify=False))[0] == 200


async def test_a_registry_may_have_a_ca_of_its_own(authority: Path, tmp_path: Path) -> None:
    """In certs.d/HOST:PORT, read anew when it changes; then even an insecure host is checked."""
    client = Client(options(certs_dirs=(str(tmp_path / "none"), str(tmp_path))))
    async with Registry(tls=server_context(authority, client_ca=True)) as registry:
        url = f"{registry.origin}/v2/"
        folder = tmp_path / registry.authority
        folder.mkdir()
        (folder / "ca.crt").write_bytes((authority / "client.crt").read_bytes())
        with pytest.raises(Unreachable, match="x509: certificate signed by unknown authority"):
            await get(client, url, verify=False)
        (folder / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())
        (folder / "client.cert").write_bytes((authority / "client.crt").read_bytes())
        with pytest.raises(
            InvalidParameter, match=r"missing key client.key for client certificate"
        ):
            await get(client, url)
        (folder / "client.key").write_bytes((authority / "client.key").read_bytes())
        assert (await get(client, url))[0] == 200
    await client.close()


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a.key"], "missing client certificate a.cert for key a.key"),
        (["ca.crt"], "cannot use .*ca.crt"),
        (["a.cert", "a.key"], "cannot use .*a.cert"),
    ],
)
async def test_a_broken_folder_is_said(tmp_path: Path, names: list[str], text: str) -> None:
    """Before anything is sent."""
    client = Client(options(certs_dirs=(str(tmp_path),)))
    (tmp_path / "127.0.0.1:1").mkdir()
    for name in names:
        (tmp_path / "127.0.0.1:1" / name).write_text("junk")
    with pytest.raises(InvalidParameter, match=text):
        await get(client, "https://127.0.0.1:1/")


async def test_a_proxy_is_used(registry: Registry) -> None:
    """For names that are not on this machine; the proxy sees the whole URL."""
    proxies = Proxies(http=f"http://user:pw@{registry.authority}")
    client = Client(options(proxies=proxies))
    registry.fault("GET", "/v2/", answer(200, b"by proxy"))
    assert await get(client, "http://far.test/v2/") == (200, b"by proxy")
    assert registry.seen[0].headers["Host"] == "far.test"
    assert registry.seen[0].headers["Proxy-Authorization"].startswith("Basic ")
    await client.close()


async def test_a_dead_proxy_is_said_without_its_password(registry: Registry) -> None:
    """As Go says it."""
    client = Client(options(proxies=Proxies(http="http://user:hidden@127.0.0.1:1")))
    with pytest.raises(Unreachable) as caught:
        await get(client, "http://far.test/v2/")
    assert "proxyconnect tcp: dial tcp: connection refused" in str(caught.value)
    assert "hidden" not in str(caught.value)
    await client.close()


@pytest.mark.parametrize(
    ("limit", "remaining", "text"),
    [
        ("100;w=21600", "9;w=21600", "WARNING: r lets you pull 9 more of 100 images in 6 hours"),
        ("100", "0", "WARNING: r lets you pull 0 more of 100 images"),
        ("100;w=21600", "10;w=21600", ""),
        ("", "0", ""),
        ("100;w=x", "nonsense", ""),
        ("0;w=1", "0", ""),
    ],
)
def test_little_is_left(limit: str, remaining: str, text: str) -> None:
    """Said only when it is time to say it."""
    assert RateLimit(limit, remaining, "").warning("r") == text


async def test_rate_limits_are_remembered(client: Client, registry: Registry) -> None:
    """As Docker Hub sends them."""
    limits = {"RateLimit_Limit": "100;w=21600", "RateLimit_Remaining": "76;w=21600"}
    registry.fault("GET", "/v2/", answer(200, Docker_RateLimit_Source="192.0.2.1", **limits))
    await get(client, f"{registry.origin}/v2/")
    assert client.rate_limits[registry.authority] == ("100;w=21600", "76;w=21600", "192.0.2.1")


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("10.0.0.1", False), ("127.0.0.1", False), ("169.254.169.254", False), ("::1", False), ("fe80::1%eth0", False), ("::ffff:10.0.0.1", False), ("2001:4860:4860::8888", True)],
)  # fmt: skip
async def test_private_addresses_are_told_from_public_ones(
    address: str, public: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the moment of connecting, so that a name cannot change its mind."""
    assert module.is_public(address) is public

    async def resolve(self: Any, host: str, port: int, family: Any) -> Any:
        return [{"host": address.partition("%")[0], "port": port}]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    resolver = PublicResolver()
    if public:
        assert await resolver.resolve("x.test", 443)
    else:
        with pytest.raises(OSError, match="private network"):
            await resolver.resolve("x.test", 443)


async def test_a_request_for_the_public_does_not_reach_this_machine(registry: Registry) -> None:
    """A token server's name that leads to loopback."""
    client = Client(options())
    port = registry.authority.rpartition(":")[2]
    with pytest.raises(SampanError, match="private network"):
        await get(client, f"http://localhost:{port}/token", public=True)
    assert registry.seen == []
    await client.close()


async def test_what_is_local() -> None:
    """Loopback and private networks are, by address and by name."""
    assert await is_local("127.0.0.1:5000")
    assert await is_local("localhost")
    assert not await is_local("8.8.8.8")
