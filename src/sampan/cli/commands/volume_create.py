"""`volume create`"""

from __future__ import annotations

from sampan.cli.command import App
from sampan.cli.container.kinds import LABEL
from sampan.cli.failure import Failure
from sampan.cli.flags import Flag
from sampan.cli.kinds import STRING, Kind
from sampan.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

OPTION = Kind("map", lambda text: (text.partition("=")[0], text.partition("=")[2]), many=True)
FLAGS = (
    Flag("driver", "d", STRING, "Driver of the volume", default="local"),
    Flag("label", "", LABEL, "Add a label"),
    Flag("name", "", STRING, "Name of the volume", default="", hidden=True),
    Flag("opt", "o", OPTION, "Set an option of the driver", note="map[]"),
)


def run(app: App, values: Values, arguments: list[str]) -> int:
    name = values["name"]
    if arguments:
        if name:
            raise Failure(
                "conflicting options: cannot specify a volume-name through both --name and as a "
                "positional arg"
            )
        name = arguments[0]
    body = {
        "Name": name,
        "Driver": values["driver"],
        "DriverOpts": dict(values["opt"]),
        "Labels": {key: value for key, _, value in (t.partition("=") for t in values["label"])},
    }
    body = {key: value for key, value in body.items() if value}
    volume = app.client.post("/volumes/create", body=body)
    out(f"{volume['Name']}\n")
    return 0
