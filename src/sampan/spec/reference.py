"""Image references as Docker reads them: `[domain/]path[:tag][@digest]`.

Short names are completed (`x` is `docker.io/library/x:latest`) and shortened again for people
(`familiar()`). Grammar and texts: distribution/reference, the version of Docker 28, except that names
of docker.io's other hosts are brought to `docker.io` too. No `re`: the command line imports this module.
"""

from __future__ import annotations

from sampan.errors import InvalidParameter
from sampan.spec.digest import Digest, is_hex, parse_digest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255
TAG_LIMIT = 128

_ALIASES = frozenset(("index.docker.io", "registry.hub.docker.com"))
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _ALNUM | {"_"}
_TAG_REST = _WORD | {".", "-"}
_DIGITS = frozenset("0123456789")
_IPV6 = frozenset("0123456789abcdefABCDEF:")

_INVALID = "invalid reference format"


class Reference:
    """A complete name. Immutable by convention; equal when the canonical texts are equal."""

    __slots__ = ("digest", "domain", "path", "tag")

    def __init__(
        self, domain: str, path: str, tag: str | None = None, digest: Digest | None = None
    ) -> None:
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self.canonical() == other.canonical()

    def __hash__(self) -> int:
        return hash(self.canonical())

    def __repr__(self) -> str:
        return f"Reference({self.canonical()!r})"

    @property
    def name(self) -> str:
        """`docker.io/library/x`"""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """`x`, `user/x` or `host:5000/x`"""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        prefix, _, rest = self.path.partition("/")
        return rest if prefix == "library" and rest and "/" not in rest else self.path

    def canonical(self) -> str:
        """The full form, the key under which a name is stored."""
        return self.name + self._suffix()

    def familiar(self) -> str:
        """The short form, for people."""
        return self.familiar_name + self._suffix()

    def with_tag(self, tag: str) -> Reference:
        """The same name with `tag` and without a digest; raises InvalidParameter for a bad tag."""
        check_tag(tag)
        return Reference(self.domain, self.path, tag)

    def with_digest(self, digest: Digest) -> Reference:
        """The same name by digest and without a tag."""
        return Reference(self.domain, self.path, None, digest)

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        return tag + (f"@{self.digest}" if self.digest is not None else "")


def parse(text: str, *, default_tag: str | None = DEFAULT_TAG) -> Reference:
    """The reference that `text` means; with neither tag nor digest it gets `default_tag`.

    Raises InvalidParameter with Docker's text.
    """
    if is_hex(text):
        raise InvalidParameter(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, rest = _split_domain(text)
    if rest.partition(":")[0] != rest.partition(":")[0].lower():
        raise InvalidParameter(f"{_INVALID}: repository name must be lowercase")
    rest, at, digest_text = rest.partition("@")
    path, colon, tag = rest.partition(":")
    if not _is_domain(domain) or not all(map(_is_path_component, path.split("/"))):
        raise InvalidParameter(_INVALID)
    if colon and not _is_tag(tag):
        raise InvalidParameter(_INVALID)
    digest = _digest(digest_text) if at else None
    if len(domain) + 1 + len(path) > NAME_LIMIT:
        raise InvalidParameter(f"repository name must not be more than {NAME_LIMIT} characters")
    if not colon and digest is None and default_tag is not None:
        return Reference(domain, path, default_tag)
    return Reference(domain, path, tag if colon else None, digest)


def check_tag(tag: str) -> None:
    """Raises InvalidParameter when `tag` alone is no tag."""
    if not _is_tag(tag):
        raise InvalidParameter("invalid tag format")


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_host:
        domain, rest = DEFAULT_DOMAIN, text
    else:
        domain = DEFAULT_DOMAIN if first in _ALIASES else first
    if domain == DEFAULT_DOMAIN and "/" not in rest:
        rest = f"library/{rest}"
    return domain, rest


def _digest(text: str) -> Digest:
    """As Go: what does not look like a digest at all is a bad reference, the rest a bad digest."""
    algorithm, colon, digits = text.partition(":")
    if not colon or not algorithm or len(digits) < 32 or not _ALNUM.issuperset(digits):
        raise InvalidParameter(_INVALID)
    return parse_digest(text)


def _is_tag(tag: str) -> bool:
    return 0 < len(tag) <= TAG_LIMIT and tag[0] in _WORD and _TAG_REST.issuperset(tag)


def _is_domain(domain: str) -> bool:
    if domain.startswith("["):
        host, bracket, port = domain[1:].partition("]")
        ok = bool(bracket and host) and _IPV6.issuperset(host)
        return ok and (not port or (port[0] == ":" and _is_port(port[1:])))
    host, colon, port = domain.partition(":")
    if colon and not _is_port(port):
        return False
    return all(
        part and part[0] != "-" and part[-1] != "-" and _ALNUM.issuperset(part.replace("-", ""))
        for part in host.split(".")
    )


def _is_port(text: str) -> bool:
    return bool(text) and _DIGITS.issuperset(text)


def _is_path_component(part: str) -> bool:
    """Lower-case letters and digits, joined by one `.`, one or two `_`, or any number of `-`."""
    if not part or part[0] not in _LOWER or part[-1] not in _LOWER:
        return False
    separator = ""
    for character in part:
        if character in _LOWER:
            if separator not in ("", ".", "_", "__") and separator.strip("-"):
                return False
            separator = ""
        elif character in "._-":
            separator += character
        else:
            return False
    return True
