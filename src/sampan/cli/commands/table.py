"""All commands, by the words they are called with. No module of a command is imported here."""

from __future__ import annotations

from sampan.cli.command import Command, Group


def _command(name: str, use: str, short: str, module: str = "", **more: object) -> Command:
    return Command(name, use, short, module or name, **more)  # type: ignore[arg-type]


def _both(name: str) -> tuple[str, ...]:
    return (f"container {name}", name)


def _image(name: str, *more: str) -> tuple[str, ...]:
    return (f"image {name}", *more, name)


_MANY = "[OPTIONS] CONTAINER [CONTAINER...]"
_RUN = "[OPTIONS] IMAGE [COMMAND] [ARG...]"
_LS = ("container ls", "container list", "container ps", "ps")
_IMAGES = ("image ls", "image list", "images")
_RMI = ("image rm", "image remove", "rmi")

COMMANDS = {
    command.name: command
    for command in (
        _command(
            "run",
            _RUN,
            "Create and run a new container from an image",
            least=1,
            common=True,
            interspersed=False,
            aliases=_both("run"),
        ),
        _command(
            "exec",
            "[OPTIONS] CONTAINER COMMAND [ARG...]",
            "Execute a command in a running container",
            least=2,
            common=True,
            interspersed=False,
            aliases=_both("exec"),
        ),
        _command("ps", "[OPTIONS]", "List containers", most=0, common=True, aliases=_LS),
        _command(
            "images",
            "[OPTIONS] [REPOSITORY[:TAG]]",
            "List images",
            most=1,
            common=True,
            aliases=_IMAGES,
        ),
        _command(
            "version", "[OPTIONS]", "Show the sampan version information", most=0, common=True
        ),
        _command(
            "info",
            "[OPTIONS]",
            "Display system-wide information",
            most=0,
            common=True,
            aliases=("system info", "info"),
        ),
        _command(
            "attach",
            "[OPTIONS] CONTAINER",
            "Attach local standard input, output, and error streams to a running container",
            least=1,
            most=1,
            aliases=_both("attach"),
        ),
        _command(
            "create",
            _RUN,
            "Create a new container",
            least=1,
            interspersed=False,
            aliases=_both("create"),
        ),
        _command(
            "events",
            "[OPTIONS]",
            "Get real time events from the server",
            most=0,
            aliases=("system events", "events"),
        ),
        _command(
            "import",
            "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
            "Import the contents from a tarball to create a filesystem image",
            "import_",
            least=1,
            aliases=_image("import"),
        ),
        _command(
            "inspect",
            "[OPTIONS] NAME|ID [NAME|ID...]",
            "Return low-level information on sampan objects",
            least=1,
        ),
        _command(
            "kill", _MANY, "Kill one or more running containers", least=1, aliases=_both("kill")
        ),
        _command(
            "load",
            "[OPTIONS]",
            "Load an image from a tar archive or STDIN",
            most=0,
            aliases=_image("load"),
        ),
        _command(
            "logs",
            "[OPTIONS] CONTAINER",
            "Fetch the logs of a container",
            least=1,
            most=1,
            aliases=_both("logs"),
        ),
        _command(
            "pause",
            "CONTAINER [CONTAINER...]",
            "Pause all processes within one or more containers",
            least=1,
            aliases=_both("pause"),
        ),
        _command(
            "port",
            "CONTAINER [PRIVATE_PORT[/PROTO]]",
            "List port mappings or a specific mapping for the container",
            least=1,
            most=2,
            aliases=_both("port"),
        ),
        _command(
            "rename",
            "CONTAINER NEW_NAME",
            "Rename a container",
            least=2,
            most=2,
            aliases=_both("rename"),
        ),
        _command(
            "restart", _MANY, "Restart one or more containers", least=1, aliases=_both("restart")
        ),
        _command(
            "rm",
            _MANY,
            "Remove one or more containers",
            least=1,
            aliases=("container rm", "container remove", "rm"),
        ),
        _command(
            "rmi", "[OPTIONS] IMAGE [IMAGE...]", "Remove one or more images", least=1, aliases=_RMI
        ),
        _command(
            "start", _MANY, "Start one or more stopped containers", least=1, aliases=_both("start")
        ),
        _command(
            "stop", _MANY, "Stop one or more running containers", least=1, aliases=_both("stop")
        ),
        _command(
            "tag",
            "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
            "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
            least=2,
            most=2,
            aliases=_image("tag"),
        ),
        _command(
            "top",
            "CONTAINER [ps OPTIONS]",
            "Display the running processes of a container",
            least=1,
            interspersed=False,
            aliases=_both("top"),
        ),
        _command(
            "unpause",
            "CONTAINER [CONTAINER...]",
            "Unpause all processes within one or more containers",
            least=1,
            aliases=_both("unpause"),
        ),
        _command(
            "wait",
            "CONTAINER [CONTAINER...]",
            "Block until one or more containers stop, then print their exit codes",
            least=1,
            aliases=_both("wait"),
        ),
    )
}

_CONTAINER_WORDS = """\
attach create exec kill logs pause port rename restart rm run start stop top unpause
wait
"""
_CONTAINER = _CONTAINER_WORDS.split()

GROUPS = {
    "container": Group(
        "container",
        "Manage containers",
        {name: COMMANDS[name] for name in _CONTAINER}
        | {
            "inspect": _command(
                "inspect",
                _MANY,
                "Display detailed information on one or more containers",
                "inspect_container",
                least=1,
            ),
            "ls": COMMANDS["ps"],
        },
        {"list": "ls", "ps": "ls", "remove": "rm"},
    ),
    "image": Group(
        "image",
        "Manage images",
        {name: COMMANDS[name] for name in ("import", "load", "tag")}
        | {
            "inspect": _command(
                "inspect",
                "[OPTIONS] IMAGE [IMAGE...]",
                "Display detailed information on one or more images",
                "inspect_image",
                least=1,
            ),
            "ls": COMMANDS["images"],
            "rm": COMMANDS["rmi"],
        },
        {"list": "ls", "remove": "rm"},
    ),
    "system": Group(
        "system", "Manage sampan", {name: COMMANDS[name] for name in ("events", "info")}, {}
    ),
}
