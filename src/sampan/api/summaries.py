"""Lists of containers, encoded: what a list shows of one is made once, and again when it has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from sampan.api import encode
from sampan.engine.records import ContainerRecord

Shown = tuple[Any, ...]
"""What else decides the view: the version of the API, the image's name, the text of the status."""


class Summaries:
    """Records are never changed, so that the same record is the same answer."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[ContainerRecord, Shown, msgspec.Raw]] = {}

    def encoded(
        self, record: ContainerRecord, shown: Shown, make: Callable[[], dict[str, Any]]
    ) -> msgspec.Raw:
        found = self._known.get(record.id)
        if found is not None and found[0] is record and found[1] == shown:
            return found[2]
        raw = msgspec.Raw(encode.json(make()))
        self._known[record.id] = (record, shown, raw)
        return raw

    def forget_gone(self, is_gone: Callable[[str], bool], count: int) -> None:
        """`count`: how many containers there are."""
        if len(self._known) > count:
            self._known = {key: each for key, each in self._known.items() if not is_gone(key)}
