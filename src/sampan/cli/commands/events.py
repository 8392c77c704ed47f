"""`events`: what happens, as it happens."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.failure import Failure
from sampan.cli.filters import encode_filters
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT
from sampan.cli.kinds import FILTER, STRING
from sampan.cli.moments import format_nano, unix_timestamp
from sampan.cli.output import out
from sampan.cli.progress import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sampan.cli.flags import Values

    Show = Callable[[dict[str, Any]], str]

FLAGS = (
    Flag("filter", "f", FILTER, "Show only what fits (name=value)"),
    Flag("format", "", STRING, FORMAT, default=""),
    Flag("since", "", STRING, "Begin with what happened since then", default=""),
    Flag("until", "", STRING, "End then", default=""),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    show = _by_template(values["format"]) if values["format"] else _line
    query = {
        "since": _moment(values["since"]),
        "until": _moment(values["until"]),
        "filters": encode_filters(values["filter"]),
    }
    response = app.client.stream("GET", "/events", query)
    for event in messages(response.pieces()):
        out(f"{show(event)}\n")
    return 0


def _moment(text: str) -> str | None:
    if not text:
        return None
    try:
        return unix_timestamp(text)
    except ValueError as error:
        raise Failure(str(error)) from None


def _line(event: dict[str, Any]) -> str:
    nano, seconds = event.get("timeNano") or 0, event.get("time") or 0
    when = ""
    if nano:
        when = f"{format_nano(nano // 10**9, nano % 10**9)} "
    elif seconds:
        when = f"{format_nano(seconds, 0)} "
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    text = f"{when}{event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    if attributes:
        text += f" ({', '.join(f'{key}={attributes[key]}' for key in sorted(attributes))})"
    return text


def _by_template(source: str) -> Show:
    from sampan.cli.types.system import SCHEMA
    from sampan.spec.template.executor import ExecutionError, Template, TemplateError

    try:
        template = Template("{{json .}}" if source == "json" else source)
    except TemplateError as error:
        raise Failure(f"Error parsing format: {error}", 64) from None

    def show(event: dict[str, Any]) -> str:
        try:
            return template.execute(SCHEMA.decode("*events.Message", event))
        except ExecutionError as error:
            raise Failure(f"Error parsing format: {error}", 64) from None

    show({})  # a template that does not fit is refused before anything is asked
    return show
