"""Which hosts are asked for a name, in which order, and how they may be spoken to."""

from __future__ import annotations

import ipaddress

import pytest

from sampan.distribution.hosts import Host, allows_plain, check, endpoints, needs_lookup
from sampan.distribution.options import Options
from sampan.errors import InvalidParameter
from sampan.spec.reference import parse

OPTIONS = Options(
    mirrors=("https://one.test", "https://two.test:8443/"),
    prefix_mirrors={
        "quay.io": ("https://cache.test/quay",),
        "quay.io/team": ("https://team.test",),
        "docker.io/library": ("http://127.0.0.1:5000/lib/",),
    },
    insecure_registries=("plain.test:5000", "10.1.0.0/16", "fd00::/8"),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("other.test/x", ["https://other.test x"]),
        ("quay.io/coreos/etcd", ["https://cache.test quay/coreos/etcd", "https://quay.io coreos/etcd"]),
        ("quay.io/team/app", ["https://team.test app", "https://quay.io team/app"]),
        ("quay.iox/team/app", ["https://quay.iox team/app"]),
        ("quay.io/teams/app", ["https://cache.test quay/teams/app", "https://quay.io teams/app"]),
        ("me/x", ["https://one.test me/x", "https://two.test:8443 me/x", "https://registry-1.docker.io me/x"]),
        ("busybox", ["http://127.0.0.1:5000 lib/busybox", "https://one.test library/busybox", "https://two.test:8443 library/busybox", "https://registry-1.docker.io library/busybox"]),
        ("plain.test:5000/x", ["https://plain.test:5000 x", "http://plain.test:5000 x"]),
        ("plain.test/x", ["https://plain.test x"]),
        ("localhost:5000/x", ["https://localhost:5000 x", "http://localhost:5000 x"]),
        ("127.0.0.9/x", ["https://127.0.0.9 x", "http://127.0.0.9 x"]),
        ("[::1]:5000/x", ["https://[::1]:5000 x", "http://[::1]:5000 x"]),
        ("10.1.2.3:5000/x", ["https://10.1.2.3:5000 x", "http://10.1.2.3:5000 x"]),
        ("10.2.2.3:5000/x", ["https://10.2.2.3:5000 x"]),
    ],
)  # fmt: skip
def test_mirrors_come_first_and_plain_http_last(name: str, expected: list[str]) -> None:
    """Mirrors of the longest prefix, then docker.io's, then the registry: TLS, plain HTTP only where allowed."""
    found = [
        f"{host.origin} {endpoint.repository}"
        for endpoint in endpoints(parse(name), OPTIONS)
        for host in endpoint.hosts
    ]
    assert found == expected


def test_a_push_goes_to_no_mirror() -> None:
    """And mirrors are marked, so that no password goes to them."""
    (own,) = endpoints(parse("busybox"), OPTIONS, mirrors=False)
    assert own.hosts == (Host("https", "registry-1.docker.io"),)
    assert [e.mirror for e in endpoints(parse("busybox"), OPTIONS)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("10.1.9.9", True),
        ("127.0.0.1", True),
        ("fd00::1", True),
        ("10.2.0.1", False),
        ("8.8.8.8", False),
    ],
)
def test_networks_count_for_names_by_their_addresses(address: str, plain: bool) -> None:
    """`insecure-registries` with a CIDR holds for a name that resolves into it, and asks for a look-up."""
    assert allows_plain("corp.test:5000", OPTIONS, [ipaddress.ip_address(address)]) is plain
    assert needs_lookup("corp.test:5000", OPTIONS)
    assert not needs_lookup("corp.test:5000", Options())
    assert not needs_lookup("10.1.2.3", OPTIONS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (Options(mirrors=("ftp://x",)), 'invalid mirror: unsupported scheme "ftp" in "ftp://x"'),
        (Options(mirrors=("mirror.test",)), 'invalid mirror: unsupported scheme "" in "mirror.test"'),
        (Options(mirrors=("https://",)), 'invalid mirror: "https://" is not a valid URI'),
        (Options(mirrors=("https://x:port",)), 'invalid mirror: "https://x:port" is not a valid URI'),
        (Options(mirrors=("https://x?a=b",)), 'invalid mirror: unsupported query or fragment at end of the URI "https://x?a=b"'),
        (Options(mirrors=("https://u:pw@x",)), 'invalid mirror: username/password not allowed in URI "https://xxxxx@x"'),
        (Options(mirrors=("http://x",)), 'invalid mirror: "http://x" is plain HTTP, which has to be allowed by insecure-registries'),
        (Options(prefix_mirrors={"q": ("http://x",)}), 'invalid mirror: "http://x" is plain HTTP, which has to be allowed by insecure-registries'),
        (Options(insecure_registries=("http://x",)), "insecure registry http://x should not contain '://'"),
        (Options(insecure_registries=("10.0.0.0/99",)), "insecure registry 10.0.0.0/99 is not valid: not a CIDR"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options: Options, text: str) -> None:
    """With dockerd's words, and without showing a password."""
    with pytest.raises(InvalidParameter) as caught:
        check(options)
    assert str(caught.value) == text


def test_good_options_are_taken() -> None:
    """What the other tests use."""
    check(OPTIONS)
    check(Options(mirrors=("http://x:5000",), insecure_registries=("x:5000",)))
