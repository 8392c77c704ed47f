"""Asking before something is removed for good."""

from __future__ import annotations

import os

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.terminal import STDIN

_ANSWER_LIMIT = 4096


def confirmed(question: str) -> bool:
    """Whether the next line of standard input is a yes."""
    output.out(f"{question} [y/N] ")
    line = b""
    while not line.endswith(b"\n") and len(line) < _ANSWER_LIMIT:
        character = os.read(STDIN, 1)
        if not character:
            break
        line += character
    return line.strip().lower() == b"y"


def prune_filters(app: App, given: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """With those of the configuration, whose labels are left out when the command line says the contrary."""
    filters = list(given)
    for text in app.config.texts("pruneFilters"):
        name, equals, value = text.partition("=")
        contrary = {"label": "label!", "label!": "label"}.get(name)
        if equals and not (contrary and (contrary, value) in given):
            filters.append((name, value))
    return filters
