"""`exec ls` and `exec kill`: exec'd processes that run, listed and ended. Not in docker."""

from __future__ import annotations

from sampan.cli.client import segment
from sampan.cli.command import App, Command
from sampan.cli.each import for_each
from sampan.cli.failure import DaemonError
from sampan.cli.flags import HELP, Flag, parse
from sampan.cli.formats.help import FORMAT_TABLE
from sampan.cli.formats.table import ellipsis, print_rows, short_id
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.names import container_path
from sampan.spec.goquote import go_quote
from sampan.spec.template.values import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sampan.cli.flags import Values

LS = Command("exec ls", "[OPTIONS] [CONTAINER]", "Show exec'd processes", "", most=1)
KILL = Command(
    "exec kill",
    "[OPTIONS] EXEC [EXEC...]",
    "End exec'd processes, with all they have started",
    "",
    least=1,
)
_LS_FLAGS = (
    Flag("all", "a", SWITCH, "Show those too that have ended", default=False),
    Flag("format", "", STRING, FORMAT_TABLE, default=""),
    Flag("no-trunc", "", SWITCH, "Show everything in full length", default=False),
    Flag("quiet", "q", SWITCH, "Show ids only", default=False),
    HELP,
)
_KILL_FLAGS = (
    Flag("signal", "s", STRING, "Send this signal to the process alone", default=""),
    HELP,
)
_HEADERS = {
    "ID": "EXEC ID",
    "Container": "CONTAINER",
    "Command": "COMMAND",
    "PID": "PID",
    "User": "USER",
    "Status": "STATUS",
}
_TABLE = "table " + "\t".join(f"{{{{.{name}}}}}" for name in _HEADERS)


def is_meant(app: App, arguments: list[str]) -> bool:
    """A container with such a name comes first."""
    if not arguments or arguments[0] not in ("ls", "kill"):
        return False
    try:
        app.client.get(container_path(arguments[0], "/json"))
    except DaemonError as error:
        return error.status == 404
    return False


def run(app: App, arguments: list[str]) -> int:
    word, *rest = arguments
    command, flags = (LS, _LS_FLAGS) if word == "ls" else (KILL, _KILL_FLAGS)
    values, names = parse(flags, rest)
    command.check_arguments(f"{app.path} {word}", names)
    return _ls(app, values, names) if word == "ls" else _kill(app, values, names)


def _ls(app: App, values: Values, names: list[str]) -> int:
    query = {"all": values["all"], "container": names[0] if names else None}
    found = app.client.get("/sampan/execs", query)
    rows: list[Record] = [_Row(each, truncate=not values["no-trunc"]) for each in found]
    source = "{{.ID}}" if values["quiet"] else values["format"] or _TABLE
    print_rows(_TABLE if source == "table" else source, rows, _HEADERS)
    return 0


def _kill(app: App, values: Values, names: list[str]) -> int:
    query = {"signal": values["signal"] or None}
    return for_each(
        names, lambda name: app.client.post(f"/sampan/execs/{segment(name)}/kill", query)
    )


class _Row(Record):
    type_name = "*exec.context"

    def __init__(self, item: dict[str, Any], *, truncate: bool) -> None:
        self._item = item
        self._truncate = truncate

    def columns(self) -> dict[str, Callable[..., Any]]:
        return {
            "Command": self._command,
            "Container": lambda: self._item["ContainerName"].removeprefix("/"),
            "ID": lambda: short_id(self._item["ID"]) if self._truncate else self._item["ID"],
            "PID": lambda: str(self._item["Pid"] or ""),
            "Status": self._status,
            "User": lambda: self._item["User"],
        }

    def _command(self) -> str:
        text = " ".join(self._item["Command"])
        return go_quote(ellipsis(text, 20) if self._truncate else text)

    def _status(self) -> str:
        if self._item["Running"]:
            return "running"
        if self._item["ExitCode"] is None:
            return "created"
        reason = self._item["Reason"]
        return f"exited ({self._item['ExitCode']}{', ' + reason if reason else ''})"
