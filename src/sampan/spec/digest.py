"""Content digests: the one parser. `sha256:` and 64 lower-case hex digits; everything else is an error.

A digest becomes a file name and a key, so no text may become one without `parse_digest`.
At run time a `Digest` is a plain `str` (so that it can be a JSON value or a database column); the
type checker tells them apart. No `re`, no `typing`: the command line imports this module.
"""

from __future__ import annotations

from sampan.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NewType

    Digest = NewType("Digest", str)
else:
    Digest = str

PREFIX = "sha256:"
_HEX = frozenset("0123456789abcdef")


def parse_digest(text: str) -> Digest:
    """The digest that `text` is; raises InvalidParameter with the texts of Go's digest package."""
    if not text.startswith(PREFIX):
        known = text.startswith(("sha384:", "sha512:"))
        raise InvalidParameter(
            "unsupported digest algorithm" if known else "invalid checksum digest format"
        )
    if len(text) != len(PREFIX) + 64:
        raise InvalidParameter("invalid checksum digest length")
    if not _HEX.issuperset(text[len(PREFIX) :]):
        raise InvalidParameter("invalid checksum digest format")
    return Digest(text)


def digest_of(data: bytes) -> Digest:
    """The digest of `data`."""
    import hashlib  # 3.5 ms that the command line does not need

    return Digest(PREFIX + hashlib.sha256(data).hexdigest())


def digest_from_hex(digits: str) -> Digest:
    return parse_digest(PREFIX + digits)


def hex_of(digest: Digest) -> str:
    """The 64 digits, the name of the blob's file."""
    return digest[len(PREFIX) :]


def is_hex(text: str, length: int = 64) -> bool:
    """Whether `text` is exactly `length` lower-case hex digits, as whole ids are."""
    return len(text) == length and _HEX.issuperset(text)


def is_hex_prefix(text: str) -> bool:
    """Whether `text` may be the beginning of an id."""
    return 0 < len(text) <= 64 and _HEX.issuperset(text)
