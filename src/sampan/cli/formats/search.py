"""Results of `search` as rows."""

from __future__ import annotations

from sampan.cli.formats.table import TABLE, ellipsis
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEADERS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
}
_WIDTH = 45


def search_format(source: str) -> str:
    """A named format in full."""
    if source in ("", TABLE):
        return (
            f"{TABLE} {{{{.Name}}}}\t{{{{.Description}}}}\t{{{{.StarCount}}}}\t{{{{.IsOfficial}}}}"
        )
    return source


class SearchRow(Record):
    type_name = "*registry.searchContext"

    def __init__(self, result: dict[str, Any], source: str, *, truncate: bool) -> None:
        self._result = result
        self._words = ("false", "true") if source == "json" else ("", "[OK]")
        self._truncate = truncate

    def columns(self) -> dict[str, Callable[..., Any]]:
        result = self._result
        return {
            "Name": lambda: result.get("name", ""),
            "Description": self._description,
            "StarCount": lambda: str(result.get("star_count", 0)),
            "IsOfficial": lambda: self._words[bool(result.get("is_official"))],
        }

    def _description(self) -> str:
        text = str(self._result.get("description") or "").replace("\n", " ").replace("\r", " ")
        return ellipsis(text, _WIDTH) if self._truncate else text
