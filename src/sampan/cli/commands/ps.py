"""`ps`: the list of containers."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.failure import Failure
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.formats.containers import HEADERS, ContainerRow, container_format
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.table import print_rows
from sampan.cli.kinds import FILTER, INT, STRING, SWITCH
from sampan.cli.output import error
from sampan.spec.template.executor import ExecutionError, Template, TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values
    from sampan.spec.template.values import Record

FLAGS = (
    Flag("all", "a", SWITCH, "Show those too that do not run", default=False),
    Flag("filter", "f", FILTER, "Show only what fits (name=value)"),
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("last", "n", INT, "Show the n that were made last", default=-1, note="-1"),
    Flag("latest", "l", SWITCH, "Show the one that was made last", default=False),
    Flag("no-trunc", "", SWITCH, "Show everything in full length", default=False),
    Flag("quiet", "q", SWITCH, "Show ids only", default=False),
    Flag("size", "s", SWITCH, "Show how much is on the disk", default=False),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    source = values["format"]
    if not source:
        source = "" if values["quiet"] else app.config.text("psFormat")
    elif values["quiet"]:
        error("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
    last = 1 if values["latest"] and values["last"] == -1 else values["last"]
    wants_size = _wants_size(source)
    size = values["size"] or (not values.changed("size") and wants_size)
    query = {
        "all": values["all"],
        "limit": last if last > 0 else None,
        "size": size,
        "filters": encode_filters(values["filter"]),
    }
    containers: list[dict[str, Any]] = app.client.get("/containers/json", query)
    rows: list[Record] = [ContainerRow(c, truncate=not values["no-trunc"]) for c in containers]
    shown = container_format(source, quiet=values["quiet"], size=values["size"])
    print_rows(shown, rows, HEADERS)
    return 0


class _Probe(ContainerRow):
    """Knows whether its size was asked for."""

    size_asked = False

    def _size(self) -> str:
        self.size_asked = True
        return ""


def _wants_size(source: str) -> bool:
    """Whether a template shows the size, also within all of a container; the daemon computes it only when asked.

    Raises Failure when it does not fit a container: then nobody is asked at all.
    """
    if not source:
        return False
    try:
        probe = _Probe({"Id": "", "Created": 0}, truncate=False)
        Template(source).execute(probe)
    except TemplateError as problem:
        raise Failure(f"failed to parse template: {problem}") from None
    except ExecutionError as problem:
        raise Failure(f"failed to execute template: {problem}") from None
    return probe.size_asked
