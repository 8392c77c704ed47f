"""`--format`: `table`, `table TEMPLATE`, `json`, `raw`, or a template, over rows of one kind."""

from __future__ import annotations

from sampan.cli.failure import Failure
from sampan.cli.output import out
from sampan.cli.tabwriter import align, columns
from sampan.cli.template.executor import ExecutionError, Template, TemplateError
from sampan.cli.template.functions import HEADER_FUNCTIONS
from sampan.cli.template.values import Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.template.values import Record

TABLE = "table"
QUIET = "{{.ID}}"


def print_rows(source: str, rows: list[Record], headers: dict[str, str]) -> None:
    """Raises Failure for a template that is none, or that does not fit the rows."""
    out(render_rows(source, rows, headers))


def render_rows(source: str, rows: list[Record], headers: dict[str, str]) -> str:
    """The text of `print_rows`."""
    is_table = is_table_format(source)
    try:
        template = Template(_text(source))
        lines = [template.execute(row) for row in rows]
    except (TemplateError, ExecutionError) as error:
        raise Failure(f"template parsing error: {error}") from None
    text = "".join(f"{line}\n" for line in lines)
    return align(f"{_header(template, headers)}\n{text}") if is_table else text


def is_table_format(source: str) -> bool:
    return source.startswith(TABLE)


def _text(source: str) -> str:
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
