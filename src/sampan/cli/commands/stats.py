"""`stats`: what containers use, again and again."""

from __future__ import annotations

import time

from sampan.cli.command import App
from sampan.cli.failure import DaemonError
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.stats import HEADERS, StatsRow, stats_format
from sampan.cli.formats.table import render_rows
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.names import container_path
from sampan.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values
    from sampan.spec.template.values import Record

FLAGS = (
    Flag("all", "a", SWITCH, "Show those too that do not run", default=False),
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("no-stream", "", SWITCH, "Show it once", default=False),
    Flag("no-trunc", "", SWITCH, "Show everything in full length", default=False),
)
_INTERVAL = 1.0  # seconds
# Of ECMA-48: to the corner, clear the rest of a line, clear what is below.
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def run(app: App, values: Values, arguments: list[str]) -> int:
    """Samples are taken one after the other, and rates are computed here, between two rounds."""
    source = stats_format(values["format"] or app.config.text("statsFormat"))
    before = _sample(app, values, arguments, must=True)
    render_rows(
        source, _rows(values, before, {}), HEADERS
    )  # a template that does not fit is refused now
    while True:
        time.sleep(_INTERVAL)
        samples = _sample(app, values, arguments, must=False)
        text = render_rows(source, _rows(values, samples, before), HEADERS)
        if values["no-stream"]:
            out(text)
            return 0
        out(_HOME + text.replace("\n", f"{_CLEAR_LINE}\n") + _CLEAR_BELOW)
        before = samples


def _sample(
    app: App, values: Values, arguments: list[str], *, must: bool
) -> dict[str, dict[str, Any] | None]:
    """By the container's name. `must`: each one named has to exist."""
    found: dict[str, dict[str, Any] | None] = {}
    for name in arguments or _everyone(app, values):
        try:
            query = {"stream": "0", "one-shot": "1"}
            found[name] = app.client.get(container_path(name, "/stats"), query)
        except DaemonError as error:
            if error.status != 404 or (must and arguments):
                raise
            if arguments:
                found[name] = None
    return found


def _everyone(app: App, values: Values) -> list[str]:
    return [each["Id"] for each in app.client.get("/containers/json", {"all": values["all"]})]


def _rows(
    values: Values,
    samples: dict[str, dict[str, Any] | None],
    before: dict[str, dict[str, Any] | None],
) -> list[Record]:
    truncate = not values["no-trunc"]
    return [
        StatsRow(name, sample, before.get(name), truncate=truncate)
        for name, sample in samples.items()
    ]
