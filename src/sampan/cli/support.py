"""Flags that need a newer daemon, or one on Windows."""

from __future__ import annotations

from sampan.cli.client import Client
from sampan.cli.failure import Failure
from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Flag, Values


def check_supported(client: Client, values: Values, flags: tuple[Flag, ...]) -> None:
    """Raises Failure when a flag was given that the daemon does not know. Asks it only when there may be one."""
    given = [flag for flag in flags if (flag.since or flag.windows) and values.changed(flag.key)]
    if not given:
        return
    client.negotiate()
    complaints = []
    for flag in given:
        title = go_quote(f"--{flag.name}")
        if flag.since and client.is_older(flag.since):
            complaints.append(
                f"{title} requires API version {flag.since}, "
                f"but the sampan daemon API version is {client.version}"
            )
        elif flag.windows and client.server_os != "windows":
            complaints.append(
                f"{title} is only supported on a sampan daemon running on windows, "
                f"but the sampan daemon is running on {client.server_os}"
            )
    if complaints:
        raise Failure("\n".join(complaints))
