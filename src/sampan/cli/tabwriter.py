"""Go's text/tabwriter, as docker uses it: a column is a run of lines that have a cell there ended by a tab.

Widths are those on a terminal, where characters of East Asia take two columns.
"""

from __future__ import annotations

_MINIMUM = 10
_PADDING = 3


def align(text: str, *, minimum: int = _MINIMUM, padding: int = _PADDING) -> str:
    """Cells separated by tabs become columns. The last cell of a line belongs to none."""
    writer = _Writer([line.split("\t") for line in text.split("\n")], minimum, padding)
    writer.format(0, len(writer.lines))
    return "\n".join(writer.rendered)


def columns(text: str) -> int:
    """How wide a text is."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in ("W", "F") else 1 for c in text)


class _Writer:
    def __init__(self, lines: list[list[str]], minimum: int, padding: int) -> None:
        self.lines = lines
        self.rendered: list[str] = []
        self._widths: list[int] = []
        self._minimum = minimum
        self._padding = padding

    def format(self, first: int, last: int) -> None:
        """Render lines of equal leading columns; each further column is a block inside."""
        column = len(self._widths)
        line = first
        while line < last:
            if column >= len(self.lines[line]) - 1:
                self._render(line)
                line += 1
                continue
            end, width = line, self._minimum
            while end < last and column < len(self.lines[end]) - 1:
                width = max(width, columns(self.lines[end][column]) + self._padding)
                end += 1
            self._widths.append(width)
            self.format(line, end)
            self._widths.pop()
            line = end

    def _render(self, line: int) -> None:
        *cells, rest = self.lines[line]
        # One entry a cell: a line is rendered in the innermost block that its last tabbed cell makes.
        padded = (
            cell + " " * (width - columns(cell))
            for cell, width in zip(cells, self._widths, strict=True)
        )
        self.rendered.append("".join(padded) + rest)
