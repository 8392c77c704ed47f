"""`logout`: forget a user's password."""

from __future__ import annotations

from sampan.cli import credentials, output
from sampan.cli.command import App
from sampan.cli.credentials import HUB
from sampan.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Flag, Values

FLAGS: tuple[Flag, ...] = ()


def run(app: App, values: Values, arguments: list[str]) -> int:
    server = arguments[0] if arguments else HUB
    shown, servers = server, [server]
    if arguments:
        # Whatever an older command may have kept it as.
        shown = credentials.hostname_of(server)
        servers += [shown, f"http://{shown}", f"https://{shown}"]
    output.out(f"Removing login credentials for {shown}\n")
    failures = []
    for name in servers:
        try:
            credentials.erase(app.config, name)
        except Failure as failure:
            failures.append(f"{name}: {failure}\n")
    if len(failures) == len(servers):
        output.error("WARNING: could not erase credentials:\n" + "".join(failures))
    return 0
