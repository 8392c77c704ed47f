"""`--format`: `table`, `table TEMPLATE`, `json`, `raw`, or a template, over rows of one kind."""

from __future__ import annotations

from sampan.cli.failure import Failure
from sampan.cli.output import out
from sampan.cli.tabwriter import align, columns
from sampan.spec.template.executor import ExecutionError, Template, TemplateError
from sampan.spec.template.functions import HEADER_FUNCTIONS
from sampan.spec.template.values import Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.spec.template.values import Record

TABLE = "table"
QUIET = "{{.ID}}"


def print_rows(source: str, rows: list[Record], headers: dict[str, str]) -> None:
    """Raises Failure for a template that is none, or that does not fit the rows."""
    out(render_rows(source, rows, headers))


def render_rows(source: str, rows: list[Record], headers: dict[str, str]) -> str:
    """The text of `print_rows`."""
    is_table = is_table_format(source)
    try:
        template = Template(template_text(source))
        plain = _plain_parts(template.text)
        lines = [_fill(plain, row) or template.execute(row) for row in rows]
    except (TemplateError, ExecutionError) as error:
        raise Failure(f"template parsing error: {error}") from None
    text = "".join(f"{line}\n" for line in lines)
    return align(f"{_header(template, headers)}\n{text}") if is_table else text


def _plain_parts(text: str) -> list[str]:
    """Texts and names of columns in turns, of a template that has nothing but columns; else empty."""
    parts: list[str] = []
    for piece in text.split("{{"):
        name, closed, rest = piece.partition("}}")
        if not parts:
            if closed:
                return []
            parts.append(piece)
        elif closed and name.startswith(".") and name[1:].isidentifier() and "}}" not in rest:
            parts += [name[1:], rest]
        else:
            return []
    return parts


def _fill(parts: list[str], row: Record) -> str:
    """The line of a row, several times faster than by the template, which most rows do not need; empty: they do."""
    if not parts:
        return ""
    columns, hidden = row.columns(), row.hidden()
    line = parts[0]
    for at in range(1, len(parts), 2):
        name = parts[at]
        value = columns[name]() if name in columns and name not in hidden else None
        if type(value) is not str:
            return ""
        line += value + parts[at + 1]
    return line


def is_table_format(source: str) -> bool:
    return source.startswith(TABLE)


def template_text(source: str) -> str:
    """The template of a format: `\\t` and `\\n` are a tab and a newline."""
    if is_table_format(source):
        source = source.removeprefix(TABLE)
    elif source == "json":
        source = "{{json .}}"
    return source.strip(" ").replace("\\t", "\t").replace("\\n", "\n")


def _header(template: Template, headers: dict[str, str]) -> str:
    try:
        return Template(template.text, HEADER_FUNCTIONS).execute(Header(headers))
    except ExecutionError:
        return ""


def ellipsis(text: str, width: int) -> str:
    """At most `width` columns; wide characters of East Asia take two."""
    if columns(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += columns(character)
        if used > width - 1:
            break
        kept += character
    return f"{kept}\u2026"


def short_id(identity: str) -> str:
    """Twelve digits, without the algorithm."""
    return identity.partition(":")[2][:12] if ":" in identity else identity[:12]
