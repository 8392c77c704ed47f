"""`docker search`: the first version of the registry API, which Docker Hub still answers (`GET /v1/search`).

Filters work on what came back, as dockerd's do. Texts of errors are dockerd's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from sampan.distribution.client import Client, Request, read
from sampan.distribution.credentials import Credentials, registry_of
from sampan.distribution.failures import RegistryError, Unreachable, clean
from sampan.distribution.hosts import Host
from sampan.distribution.registries import hosts_of
from sampan.errors import InvalidParameter, SampanError
from sampan.spec.reference import DEFAULT_DOMAIN

HUB_SEARCH = "index.docker.io"
LIMITS = (1, 100)
DEFAULT_LIMIT = 25
_ANSWER_LIMIT = 4 << 20
_FILTERS = frozenset(("is-automated", "is-official", "stars"))
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class SearchResult(msgspec.Struct, kw_only=True):
    """As the API answers it."""

    star_count: int = 0
    is_official: bool = False
    name: str = ""
    is_automated: bool = False
    description: str = ""


class _Answer(msgspec.Struct):
    results: list[SearchResult] = msgspec.field(default_factory=list)


class Wanted(NamedTuple):
    """What results have to be; None does not matter."""

    automated: bool | None = None
    official: bool | None = None
    stars: int = 0

    def holds(self, result: SearchResult) -> bool:
        return (
            self.automated in (None, result.is_automated)
            and self.official in (None, result.is_official)
            and result.star_count >= self.stars
        )


def parse_filters(filters: Mapping[str, Sequence[str]]) -> Wanted:
    """Raises InvalidParameter."""
    for name in filters:
        if name not in _FILTERS:
            raise InvalidParameter(f"Invalid filter '{name}'")
    stars = 0
    for text in filters.get("stars", ()):
        if not (text.isascii() and text.isdigit()):
            raise InvalidParameter(f"Invalid filter 'stars={text}'")
        stars = max(stars, int(text[:18]))
    return Wanted(_boolean(filters, "is-automated"), _boolean(filters, "is-official"), stars)


def _boolean(filters: Mapping[str, Sequence[str]], name: str) -> bool | None:
    values = filters.get(name, ())
    if not values:
        return None
    if all(value in _TRUE for value in values):
        return True
    if all(value in _FALSE for value in values):
        return False
    raise InvalidParameter(f"Invalid filter '{name}=[{' '.join(values)}]'")


async def find(
    client: Client,
    term: str,
    credentials: Credentials,
    *,
    limit: int,
    filters: Mapping[str, Sequence[str]],
) -> list[SearchResult]:
    """At most `limit` results of `[registry/]word`; 0 is dockerd's default."""
    wanted = parse_filters(filters)
    limit = limit or DEFAULT_LIMIT
    if not LIMITS[0] <= limit <= LIMITS[1]:
        raise InvalidParameter(f"Limit {limit} is outside the range of [{LIMITS[0]}, {LIMITS[1]}]")
    if "://" in term:
        raise InvalidParameter(
            f"invalid repository name: repository name ({term}) should not have a scheme"
        )
    domain, word = split_term(term)
    authority = HUB_SEARCH if domain == DEFAULT_DOMAIN else domain
    mine = credentials.has_password and registry_of(credentials.server_address) == domain
    answer = await _ask(client, authority, word, limit, credentials.basic if mine else None)
    return [result for result in answer if wanted.holds(result)][:limit]


def split_term(term: str) -> tuple[str, str]:
    """The registry's domain and the word; `library/` says nothing to Docker Hub."""
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        domain, word = registry_of(first), rest
    else:
        domain, word = DEFAULT_DOMAIN, term
    return domain, word.removeprefix("library/") if domain == DEFAULT_DOMAIN else word


async def _ask(
    client: Client, authority: str, word: str, limit: int, authorization: str | None
) -> list[SearchResult]:
    """The first way that answers. Docker Hub's failures are told as they are, others' name the endpoint."""
    failures: list[tuple[Host, Unreachable]] = []
    for host in await hosts_of(client, authority):
        try:
            return await _ask_host(client, host, word, limit, authorization)
        except Unreachable as error:
            if authority == HUB_SEARCH or not error.connecting:
                raise
            failures.append((host, error))
    raise SampanError(_nowhere(authority, failures))


def _nowhere(authority: str, failures: Sequence[tuple[Host, Unreachable]]) -> str:
    host, error = failures[-1]
    if len(failures) == 1:
        return (
            f"invalid registry endpoint {host.origin}/v1/: {error}. If this private registry supports only HTTP or "
            f"HTTPS with an unknown CA certificate, please add `--insecure-registry {authority}` to the daemon's "
            "arguments. In the case of HTTPS, if you have access to the registry's CA certificate, no need for the "
            f"flag; simply place the CA certificate at /etc/docker/certs.d/{authority}/ca.crt"
        )
    attempts = (f"{host.scheme.upper()} attempt: {error}" for host, error in failures)
    return f'invalid registry endpoint "{host.origin}/v1/". {". ".join(attempts)}'


async def _ask_host(
    client: Client, host: Host, word: str, limit: int, authorization: str | None
) -> list[SearchResult]:
    url = f"{host.origin}/v1/search?{urlencode({'q': word, 'n': limit})}"
    async with client.send(Request("GET", url, host), authorization) as response:
        body = await read(response, _ANSWER_LIMIT)
        if response.status != 200:
            raise RegistryError(
                f"Unexpected status code {response.status}", http_status=response.status
            )
    if body is None:
        raise SampanError("the answer to the search is too long")
    try:
        results = msgspec.json.decode(body, type=_Answer).results
    except (ValueError, RecursionError) as error:
        raise SampanError(f"error decoding registry search results: {clean(str(error))}") from None
    return [_cleaned(result) for result in results]


def _cleaned(result: SearchResult) -> SearchResult:
    result.name, result.description = clean(result.name), clean(result.description)
    return result
