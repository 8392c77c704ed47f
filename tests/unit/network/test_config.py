"""Verifies that configuration texts are read strictly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sampan.errors import InvalidParameter
from sampan.network.config import parse_bip, parse_fixed_cidr, parse_pool


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_bip, t) for t in ("", "1.2.3.4", "1.2.3/24", "::1/64", "10.0.0.0/24")),
        *((parse_bip, t) for t in ("10.0.0.255/24", "10.0.0.1/31", "10.0.0.1/33", "a/24")),
        *((parse_fixed_cidr, t) for t in ("", "10.0.0.0", "10.0.0.0/40", "x/8")),
        (lambda t: parse_pool(t, 24), "10.0.0.0/25"),
        (lambda t: parse_pool(t, 31), "10.0.0.0/16"),
        (lambda t: parse_pool(t, 24), "ten"),
    ],
)
def test_refused(parse: Callable[[str], object], text: str) -> None:
    """Each with a 400 that names what was given."""
    with pytest.raises(InvalidParameter):
        parse(text)


def test_accepted() -> None:
    """Host bits of a range are dropped, those of a bridge's address are its address."""
    assert str(parse_bip("172.30.99.1/24")) == "172.30.99.1/24"
    assert str(parse_fixed_cidr("172.30.99.130/25")) == "172.30.99.128/25"
    assert parse_pool("10.1.2.3/16", 24).size == 24
