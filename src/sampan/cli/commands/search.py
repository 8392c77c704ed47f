"""`search`: images by a word, on Docker Hub or a registry that can search."""

from __future__ import annotations

from sampan.cli import credentials
from sampan.cli.command import App
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.search import HEADERS, SearchRow, search_format
from sampan.cli.formats.table import print_rows
from sampan.cli.kinds import FILTER, INT, STRING, SWITCH
from sampan.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values
    from sampan.spec.template.values import Record

FLAGS = (
    Flag("filter", "f", FILTER, "Show only what fits (is-official=, stars=)"),
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("limit", "", INT, "Show at most so many", default=0),
    Flag("no-trunc", "", SWITCH, "Show everything in full length", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    term = arguments[0]
    query = {
        "term": term,
        "limit": values["limit"] or None,
        "filters": encode_filters(values["filter"]),
    }
    headers = {"X-Registry-Auth": credentials.header(app.config, _domain(term))}
    response = app.client.stream("GET", "/images/search", query, headers=headers)
    results: list[dict[str, Any]] = jsontext.loads(response.read()) or []
    source, truncate = values["format"], not values["no-trunc"]
    rows: list[Record] = [SearchRow(result, source, truncate=truncate) for result in results]
    print_rows(search_format(source), rows, HEADERS)
    return 0


def _domain(term: str) -> str:
    """The registry that is asked: `[registry/]word`."""
    first, slash, _ = term.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return first if is_host and first not in ("docker.io", "index.docker.io") else "docker.io"
