"""Rows of `history`."""

from __future__ import annotations

import time

from sampan.cli.formats.table import QUIET, TABLE, ellipsis, short_id
from sampan.cli.moments import format_seconds
from sampan.cli.units import human_duration, human_size
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_WIDTH = 45


def history_format(source: str, *, quiet: bool, human: bool) -> str:
    if source != TABLE:
        return source
    if quiet:
        return QUIET
    created = "{{.CreatedSince}}" if human else "{{.CreatedAt}}"
    return f"{TABLE} {{{{.ID}}}}\t{created}\t{{{{.CreatedBy}}}}\t{{{{.Size}}}}\t{{{{.Comment}}}}"


class HistoryRow(Record):
    type_name = "*image.historyContext"

    def __init__(self, step: dict[str, Any], *, human: bool, truncate: bool) -> None:
        self._step = step
        self._human = human
        self._truncate = truncate

    def columns(self) -> dict[str, Callable[..., Any]]:
        step = self._step
        return {
            "ID": lambda: short_id(step["Id"]) if self._truncate else step["Id"],
            "CreatedAt": lambda: format_seconds(step["Created"]),
            "CreatedSince": self._since,
            "CreatedBy": self._created_by,
            "Size": lambda: human_size(step["Size"], 3) if self._human else str(step["Size"]),
            "Comment": lambda: step["Comment"],
        }

    def _since(self) -> str:
        if not self._human:
            return format_seconds(self._step["Created"])
        if self._step["Created"] <= 0:
            return "N/A"
        return f"{human_duration(time.time() - self._step['Created'])} ago"

    def _created_by(self) -> str:
        text: str = self._step["CreatedBy"].replace("\t", " ")
        return ellipsis(text, _WIDTH) if self._truncate else text
