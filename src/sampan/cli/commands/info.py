"""`info`: the daemon, its limits and its surroundings."""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.commands.version import client_version
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.formats.help import FORMAT
from sampan.cli.formats.info import info_text
from sampan.cli.kinds import STRING
from sampan.cli.output import error, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values
    from sampan.spec.template.executor import Template

FLAGS = (Flag("format", "f", STRING, FORMAT, default=""),)


def run(app: App, values: Values, arguments: list[str]) -> int:
    template = _template(values["format"]) if values["format"] else None
    info, failure = None, None
    if template is None or template.fields() != {"ClientInfo"}:
        try:
            info = app.client.get("/info")
        except Failure as problem:
            failure = problem
    client = client_version(app) | {"Debug": app.debug, "ApiVersion": "", "Plugins": []}
    if template is not None:
        _print_template(template, (info or {}) | {"ClientInfo": client})
    else:
        out(info_text(client, info))
        for warning in (info or {}).get("Warnings") or []:
            error(f"{warning}\n")
    if failure is not None:
        raise failure
    return 0


def _template(source: str) -> Template:
    from sampan.spec.template.executor import Template, TemplateError

    try:
        return Template("{{json .}}" if source == "json" else source)
    except TemplateError as problem:
        raise Failure(f"template parsing error: {problem}", 64) from None


def _print_template(template: Template, data: dict[str, Any]) -> None:
    from sampan.cli.types.system import SCHEMA
    from sampan.spec.template.executor import ExecutionError

    value = SCHEMA.decode("system.dockerInfo", data)
    try:
        out(f"{template.execute(value)}\n")
    except ExecutionError as problem:
        out("\n")
        raise Failure(str(problem)) from None
