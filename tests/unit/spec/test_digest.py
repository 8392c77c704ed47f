"""One parser for digests: sha256 and 64 hex digits, or an error."""

from __future__ import annotations

import hashlib

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.digest import (
    digest_from_hex,
    digest_of,
    hex_of,
    is_hex,
    is_hex_prefix,
    parse_digest,
)

HEX = "0123456789abcdef" * 4


def test_a_digest_is_its_text() -> None:
    """It can be a key, a column and a JSON value, since it is a plain str."""
    digest = parse_digest(f"sha256:{HEX}")
    assert type(digest) is str
    assert hex_of(digest) == HEX
    assert digest_from_hex(HEX) == digest
    assert digest_of(b"x") == "sha256:" + hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        HEX,
        f"sha256:{HEX}0",
        f"sha256:{HEX[1:]}",
        f"sha256:{HEX.upper()}",
        f"SHA256:{HEX}",
        f"sha512:{HEX}{HEX}",
        f"md5:{HEX[:32]}",
        "sha256:../../etc/passwd",
        "sha256:" + "../" * 21 + "x",
        f"sha256:{HEX[1:]}\n",
        f"sha256:{HEX[1:]}é",
        f"sha256:{HEX[1:]}\0",
        f" sha256:{HEX}",
        "sha256:" + "a" * 10_000,
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    """A digest becomes a file name, so nothing else may pass (CVE-2024-3727)."""
    with pytest.raises(InvalidParameter):
        parse_digest(text)


def test_hex_is_lower_case_and_of_the_asked_length() -> None:
    """Ids and their beginnings."""
    assert is_hex(HEX)
    assert is_hex("ab", 2)
    assert not is_hex("AB", 2)
    assert not is_hex(HEX[1:])
    assert is_hex_prefix("0")
    assert not is_hex_prefix("")
    assert not is_hex_prefix("g")
    assert not is_hex_prefix(HEX + "0")
