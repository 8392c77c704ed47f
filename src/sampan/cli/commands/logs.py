"""`logs`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, SWITCH
from sampan.cli.moments import unix_timestamp
from sampan.cli.names import container_path
from sampan.cli.output import STDERR, STDOUT, write_all
from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values
    from sampan.cli.http import Response

FLAGS = (
    Flag("details", "", SWITCH, "Show what the logging driver adds", default=False),
    Flag("follow", "f", SWITCH, "Go on as the container writes", default=False),
    Flag(
        "since",
        "",
        STRING,
        'Begin at a date ("2013-01-02T13:23:37Z") or so long ago ("42m")',
        default="",
    ),
    Flag("tail", "n", STRING, "Show so many lines of the end", default="all"),
    Flag("timestamps", "t", SWITCH, "Show when each line was written", default=False),
    Flag(
        "until",
        "",
        STRING,
        'End at a date ("2013-01-02T13:23:37Z") or so long ago ("42m")',
        default="",
    ),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    container = app.client.get(container_path(arguments[0], "/json"))
    query = {
        "stdout": True,
        "stderr": True,
        "since": _moment(values, "since"),
        "until": _moment(values, "until"),
        "timestamps": values["timestamps"],
        "follow": values["follow"],
        "details": values["details"],
        "tail": values["tail"],
    }
    response = app.client.stream("GET", container_path(container["Id"], "/logs"), query)
    if container["Config"]["Tty"]:
        for piece in response.pieces():
            write_all(STDOUT, piece)
    else:
        _demultiplex(response)
    return 0


def _moment(values: Values, name: str) -> str | None:
    if not values[name]:
        return None
    try:
        return unix_timestamp(values[name])
    except ValueError as error:
        raise Failure(f"invalid value for {go_quote(name)}: {error}") from None


def _demultiplex(response: Response) -> None:
    from sampan.wire.stdcopy import STDERR as ERROR_STREAM
    from sampan.wire.stdcopy import SYSTEM_ERROR, Decoder

    decoder = Decoder()
    for piece in response.pieces():
        for stream, payload in decoder.feed(piece):
            if stream == SYSTEM_ERROR:
                raise Failure(f"error from daemon in stream: {payload.decode('utf-8', 'replace')}")
            write_all(STDERR if stream == ERROR_STREAM else STDOUT, payload)
