"""Images as rows of `images`: one a tag, or a digest where there is no tag."""

from __future__ import annotations

import time

from sampan.cli.formats.table import QUIET, TABLE, is_table_format, short_id
from sampan.cli.moments import format_local
from sampan.cli.units import human_duration, human_size
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NONE = "<none>"
_CREATED = "{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}"
_RAW = "image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n"
HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}


def image_format(source: str, *, quiet: bool, digests: bool) -> str:
    """A named format in full."""
    if source == TABLE:
        if quiet:
            return QUIET
        digest = "{{.Digest}}\t" if digests else ""
        return f"{TABLE} {{{{.Repository}}}}\t{{{{.Tag}}}}\t{digest}{{{{.ID}}}}\t{_CREATED}\t{{{{.Size}}}}"
    if source == "raw":
        if quiet:
            return "image_id: {{.ID}}"
        digest = "digest: {{.Digest}}\n" if digests else ""
        return f"repository: {{{{ .Repository }}}}\ntag: {{{{.Tag}}}}\n{digest}{_RAW}"
    if is_table_format(source) and digests and "{{.Digest}}" not in source:
        return source + "\t{{.Digest}}"
    return source


def image_rows(
    images: list[dict[str, Any]], *, source: str, digests: bool, truncate: bool
) -> list[Record]:
    needs_digest = digests or "{{.Digest}}" in source
    return [
        ImageRow(image, *name, truncate=truncate)
        for image in images
        for name in _names(image, digests, needs_digest)
    ]


class ImageRow(Record):
    type_name = "*formatter.imageContext"

    def __init__(
        self, image: dict[str, Any], repository: str, tag: str, digest: str, *, truncate: bool
    ) -> None:
        self._image = image
        self._name = repository, tag, digest
        self._truncate = truncate

    def columns(self) -> dict[str, Callable[..., Any]]:
        image, (repository, tag, digest) = self._image, self._name
        return {
            "ID": lambda: short_id(image["Id"]) if self._truncate else image["Id"],
            "Repository": lambda: repository,
            "Tag": lambda: tag,
            "Digest": lambda: digest,
            "CreatedSince": lambda: f"{human_duration(time.time() - image['Created'])} ago",
            "CreatedAt": lambda: format_local(image["Created"]),
            "Size": lambda: human_size(image.get("Size", 0), 3),
            "Containers": lambda: _counted(image.get("Containers", -1)),
            "VirtualSize": lambda: human_size(image.get("Size", 0)),
            "SharedSize": lambda: _sized(image.get("SharedSize", -1)),
            "UniqueSize": self._unique_size,
        }

    def _unique_size(self) -> str:
        size, shared = self._image.get("Size", -1), self._image.get("SharedSize", -1)
        return "N/A" if -1 in (size, shared) else human_size(size - shared)


def _counted(number: int) -> str:
    return "N/A" if number == -1 else str(number)


def _sized(number: int) -> str:
    return "N/A" if number == -1 else human_size(number)


def _names(image: dict[str, Any], digests: bool, needs_digest: bool) -> list[tuple[str, str, str]]:
    """Repository, tag and digest of each row."""
    tags = _by_repository(image.get("RepoTags"), ":")
    by_digest = _by_repository(image.get("RepoDigests"), "@")
    if not tags and not by_digest:
        return [(_NONE, _NONE, _NONE)]
    rows = []
    for repository, found in tags.items():
        known = by_digest.pop(repository, []) if needs_digest else []
        by_digest.pop(repository, None)
        rows += [(repository, tag, digest) for tag in found for digest in known or [_NONE]]
    for repository, known in by_digest.items():
        # Without the column a repository is shown once, however many digests it has.
        rows += (
            [(repository, _NONE, digest) for digest in known]
            if digests
            else [(repository, _NONE, "")]
        )
    return rows


def _by_repository(texts: list[str] | None, separator: str) -> dict[str, list[str]]:
    """`["x:1", "x:2"]` as `{"x": ["1", "2"]}`, names as people know them."""
    found: dict[str, list[str]] = {}
    for text in texts or []:
        name, _, rest = text.partition("@") if separator == "@" else text.rpartition(":")
        if name == _NONE or not name or not rest:
            continue
        found.setdefault(
            name.removeprefix("docker.io/library/").removeprefix("docker.io/"), []
        ).append(rest)
    return found
