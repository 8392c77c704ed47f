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
            "Make a container from an image and run it",
            least=1,
            common=True,
            interspersed=False,
            aliases=_both("run"),
        ),
        _command(
            "exec",
            "[OPTIONS] CONTAINER COMMAND [ARG...]",
            "Run one more command in a container that runs",
            least=2,
            words=("ls", "kill"),
            common=True,
            interspersed=False,
            aliases=_both("exec"),
        ),
        _command("ps", "[OPTIONS]", "Show containers", most=0, common=True, aliases=_LS),
        _command(
            "images",
            "[OPTIONS] [REPOSITORY[:TAG]]",
            "Show images",
            most=1,
            common=True,
            aliases=_IMAGES,
        ),
        _command(
            "version",
            "[OPTIONS]",
            "Show versions, of this command and of the daemon",
            most=0,
            common=True,
        ),
        _command(
            "info",
            "[OPTIONS]",
            "Show what the daemon knows about itself and its host",
            most=0,
            common=True,
            aliases=("system info", "info"),
        ),
        _command(
            "attach",
            "[OPTIONS] CONTAINER",
            "Connect this terminal to a container that runs",
            least=1,
            most=1,
            aliases=_both("attach"),
        ),
        _command(
            "cp",
            "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tsampan cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
            "Copy files out of a container or into it",
            least=2,
            most=2,
            aliases=_both("cp"),
        ),
        _command(
            "commit",
            "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
            "Make an image of what a container is now",
            least=1,
            most=2,
            aliases=_both("commit"),
        ),
        _command(
            "create",
            _RUN,
            "Make a container from an image, without starting it",
            least=1,
            interspersed=False,
            aliases=_both("create"),
        ),
        _command(
            "diff",
            "CONTAINER",
            "Show what a container has changed in its file system",
            least=1,
            most=1,
            aliases=_both("diff"),
        ),
        _command(
            "events",
            "[OPTIONS]",
            "Show what happens, as it happens",
            most=0,
            aliases=("system events", "events"),
        ),
        _command(
            "export",
            "[OPTIONS] CONTAINER",
            "Put the file system of a container into an archive",
            least=1,
            most=1,
            aliases=_both("export"),
        ),
        _command(
            "history",
            "[OPTIONS] IMAGE",
            "Show the steps that an image was made in",
            least=1,
            most=1,
            aliases=_image("history"),
        ),
        _command(
            "import",
            "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
            "Make an image from the archive of a root file system",
            "import_",
            least=1,
            aliases=_image("import"),
        ),
        _command(
            "inspect",
            "[OPTIONS] NAME|ID [NAME|ID...]",
            "Show everything about containers, images and others",
            least=1,
        ),
        _command(
            "kill",
            _MANY,
            "Send containers a signal, SIGKILL if none is named",
            least=1,
            aliases=_both("kill"),
        ),
        _command(
            "load",
            "[OPTIONS]",
            "Take images out of an archive",
            most=0,
            aliases=_image("load"),
        ),
        _command(
            "login",
            "[OPTIONS] [SERVER]",
            "Log in to a registry, Docker Hub if none is named",
            most=1,
            common=True,
        ),
        _command("logout", "[SERVER]", "Log out from a registry", most=1, common=True),
        _command(
            "logs",
            "[OPTIONS] CONTAINER",
            "Show what a container has written",
            least=1,
            most=1,
            aliases=_both("logs"),
        ),
        _command(
            "pause",
            "CONTAINER [CONTAINER...]",
            "Freeze all processes of containers",
            least=1,
            aliases=_both("pause"),
        ),
        _command(
            "port",
            "CONTAINER [PRIVATE_PORT[/PROTO]]",
            "Show which ports of a container are published",
            least=1,
            most=2,
            aliases=_both("port"),
        ),
        _command(
            "ports",
            "[OPTIONS]",
            "Show the published ports of all containers, and who can reach them",
            most=0,
        ),
        _command(
            "pull",
            "[OPTIONS] NAME[:TAG|@DIGEST]",
            "Get an image from a registry",
            least=1,
            most=1,
            common=True,
            aliases=_image("pull"),
        ),
        _command(
            "push",
            "[OPTIONS] NAME[:TAG]",
            "Send an image to its registry",
            least=1,
            most=1,
            common=True,
            aliases=_image("push"),
        ),
        _command(
            "rename",
            "CONTAINER NEW_NAME",
            "Give a container another name",
            least=2,
            most=2,
            aliases=_both("rename"),
        ),
        _command(
            "restart",
            _MANY,
            "Stop containers and start them again",
            least=1,
            aliases=_both("restart"),
        ),
        _command(
            "rm",
            _MANY,
            "Remove containers",
            least=1,
            aliases=("container rm", "container remove", "rm"),
        ),
        _command(
            "rmi",
            "[OPTIONS] IMAGE [IMAGE...]",
            "Remove names of images, and images without a name left",
            least=1,
            aliases=_RMI,
        ),
        _command(
            "search",
            "[OPTIONS] TERM",
            "Find images on Docker Hub",
            least=1,
            most=1,
            common=True,
        ),
        _command(
            "save",
            "[OPTIONS] IMAGE [IMAGE...]",
            "Put images into an archive",
            least=1,
            aliases=_image("save"),
        ),
        _command(
            "start", _MANY, "Start containers that do not run", least=1, aliases=_both("start")
        ),
        _command(
            "stats",
            "[OPTIONS] [CONTAINER...]",
            "Show what containers use, as it changes",
            aliases=_both("stats"),
        ),
        _command(
            "stop",
            _MANY,
            "Ask containers to end, and kill them when they do not",
            least=1,
            aliases=_both("stop"),
        ),
        _command(
            "tag",
            "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
            "Give an image one more name",
            least=2,
            most=2,
            aliases=_image("tag"),
        ),
        _command(
            "top",
            "CONTAINER [ps OPTIONS]",
            "Show the processes of a container",
            least=1,
            interspersed=False,
            aliases=_both("top"),
        ),
        _command(
            "unpause",
            "CONTAINER [CONTAINER...]",
            "Let the processes of frozen containers go on",
            least=1,
            aliases=_both("unpause"),
        ),
        _command(
            "update",
            _MANY,
            "Change what containers may use",
            least=1,
            aliases=_both("update"),
        ),
        _command(
            "wait",
            "CONTAINER [CONTAINER...]",
            "Wait for containers to end and print their exit codes",
            least=1,
            aliases=_both("wait"),
        ),
    )
}

_CONTAINER_WORDS = """\
attach commit cp create diff exec export kill logs pause port rename restart rm run start stats
stop top unpause update wait
"""
_CONTAINER = _CONTAINER_WORDS.split()
_IMAGE_WORDS = "history import load pull push save tag"

GROUPS = {
    "container": Group(
        "container",
        "Commands about containers",
        {name: COMMANDS[name] for name in _CONTAINER}
        | {
            "inspect": _command(
                "inspect",
                _MANY,
                "Show everything about containers",
                "inspect_container",
                least=1,
            ),
            "ls": COMMANDS["ps"],
            "prune": _command(
                "prune",
                "[OPTIONS]",
                "Remove all containers that do not run",
                "prune_containers",
                most=0,
            ),
        },
        {"list": "ls", "ps": "ls", "remove": "rm"},
    ),
    "image": Group(
        "image",
        "Commands about images",
        {name: COMMANDS[name] for name in _IMAGE_WORDS.split()}
        | {
            "prune": _command(
                "prune",
                "[OPTIONS]",
                "Remove images that nobody uses",
                "image_prune",
                most=0,
            ),
            "inspect": _command(
                "inspect",
                "[OPTIONS] IMAGE [IMAGE...]",
                "Show everything about images",
                "inspect_image",
                least=1,
            ),
            "ls": COMMANDS["images"],
            "rm": COMMANDS["rmi"],
        },
        {"list": "ls", "remove": "rm"},
    ),
    "network": Group(
        "network",
        "Commands about networks",
        {
            "connect": _command(
                "connect",
                "[OPTIONS] NETWORK CONTAINER",
                "Connect a container to a network",
                "network_connect",
                least=2,
                most=2,
            ),
            "create": _command(
                "create", "[OPTIONS] NETWORK", "Make a network", "network_create", least=1, most=1
            ),
            "disconnect": _command(
                "disconnect",
                "[OPTIONS] NETWORK CONTAINER",
                "Take a container out of a network",
                "network_disconnect",
                least=2,
                most=2,
            ),
            "inspect": _command(
                "inspect",
                "[OPTIONS] NETWORK [NETWORK...]",
                "Show everything about networks",
                "network_inspect",
                least=1,
            ),
            "ls": _command(
                "ls",
                "[OPTIONS]",
                "Show networks",
                "network_ls",
                most=0,
                aliases=("network ls", "network list"),
            ),
            "prune": _command(
                "prune",
                "[OPTIONS]",
                "Remove networks that no container is in",
                "network_prune",
                most=0,
            ),
            "rm": _command(
                "rm",
                "NETWORK [NETWORK...]",
                "Remove networks",
                "network_rm",
                least=1,
                aliases=("network rm", "network remove"),
            ),
        },
        {"list": "ls", "remove": "rm"},
        use="COMMAND",
    ),
    "system": Group(
        "system",
        "Commands about the daemon",
        {name: COMMANDS[name] for name in ("events", "info")}
        | {
            "df": _command("df", "[OPTIONS]", "Show what takes the disk", "system_df", most=0),
            "fsck": _command(
                "fsck",
                "[OPTIONS]",
                "Look whether everything in the store is whole",
                "system_fsck",
                most=0,
            ),
            "prune": _command(
                "prune",
                "[OPTIONS]",
                "Remove what nobody uses",
                "system_prune",
                most=0,
            ),
        },
        {},
    ),
    "volume": Group(
        "volume",
        "Commands about volumes",
        {
            "create": _command(
                "create", "[OPTIONS] [VOLUME]", "Make a volume", "volume_create", most=1
            ),
            "inspect": _command(
                "inspect",
                "[OPTIONS] VOLUME [VOLUME...]",
                "Show everything about volumes",
                "volume_inspect",
                least=1,
            ),
            "ls": _command(
                "ls",
                "[OPTIONS]",
                "Show volumes",
                "volume_ls",
                most=0,
                aliases=("volume ls", "volume list"),
            ),
            "prune": _command(
                "prune",
                "[OPTIONS]",
                "Remove volumes that no container uses",
                "volume_prune",
                most=0,
            ),
            "rm": _command(
                "rm",
                "[OPTIONS] VOLUME [VOLUME...]",
                "Remove volumes",
                "volume_rm",
                least=1,
                aliases=("volume rm", "volume remove"),
            ),
        },
        {"list": "ls", "remove": "rm"},
        use="COMMAND",
    ),
}
