"""runc's command line as a table: which flags each command takes, in words that a user of runc knows.

As Go's flags: one dash or two, `--name value` or `--name=value`; a switch takes no value but `=true` or
`=false`. Flags end at the first word that is none for `exec` and `ps`, whose words are another program's.
"""

from __future__ import annotations

from sampan.spec.record import dataclass, field

SWITCH, TEXT, NUMBER, LIST = "switch", "text", "number", "list"
_TRUE, _FALSE = ("true", "1", "t", "T", "TRUE", "True"), ("false", "0", "f", "F", "FALSE", "False")


Flags = dict[str, str]  # "name" or "name,n" → kind


@dataclass(frozen=True, slots=True)
class Syntax:
    """`words` is how many there may be, at least and at most; None is no limit."""

    summary: str
    usage: str = "<container-id>"
    flags: Flags = field(default_factory=dict)
    words: tuple[int, int | None] = (1, 1)
    strict: bool = False  # flags end at the first word


@dataclass(slots=True)
class Options:
    values: dict[str, str | int | bool | list[str]]
    words: list[str]

    def text(self, name: str, default: str = "") -> str:
        value = self.values.get(name, default)
        return str(value)

    def given(self, name: str) -> bool:
        return name in self.values

    def switch(self, name: str) -> bool:
        return bool(self.values.get(name, False))

    def number(self, name: str, default: int = 0) -> int:
        value = self.values.get(name, default)
        assert isinstance(value, int)
        return value

    def listed(self, name: str) -> list[str]:
        value = self.values.get(name, [])
        assert isinstance(value, list)
        return value


class UsageError(Exception):
    """The command line makes no sense. `command` is whose help answers; `top`, the global options, did make sense."""

    command = ""
    top = Options({}, [])
    title = "Incorrect Usage: {}"


GLOBAL: Flags = {
    "debug": SWITCH,
    "log": TEXT,
    "log-format": TEXT,
    "root": TEXT,
    "criu": TEXT,
    "systemd-cgroup": SWITCH,
    "rootless": TEXT,
    "help,h": SWITCH,
    "version,v": SWITCH,
}
_CREATE: Flags = {
    "bundle,b": TEXT,
    "console-socket": TEXT,
    "pid-file": TEXT,
    "pidfd-socket": TEXT,
    "no-pivot": SWITCH,
    "no-new-keyring": SWITCH,
    "preserve-fds": NUMBER,
}
_UPDATE_NUMBERS = (
    *("blkio-weight", "cpu-period", "cpu-quota", "cpu-burst", "cpu-share", "cpu-idle"),
    *("cpu-rt-period", "cpu-rt-runtime", "pids-limit"),
)
_UPDATE_TEXTS = (
    *("cpuset-cpus", "cpuset-mems", "memory", "memory-reservation", "memory-swap"),
    *("kernel-memory", "kernel-memory-tcp", "l3-cache-schema", "mem-bw-schema"),
)
COMMANDS: dict[str, Syntax] = {
    "create": Syntax("create a container", flags=_CREATE),
    "delete": Syntax(
        "delete any resources held by the container often used with detached container",
        flags={"force,f": SWITCH},
    ),
    "events": Syntax(
        "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
        flags={"interval": TEXT, "stats": SWITCH},
    ),
    "exec": Syntax(
        "execute new process inside the container",
        usage="<container-id> <command> [command options]  || -p process.json <container-id>",
        flags={
            "console-socket": TEXT,
            "pidfd-socket": TEXT,
            "cwd": TEXT,
            "env,e": LIST,
            "tty,t": SWITCH,
            "user,u": TEXT,
            "additional-gids,g": LIST,
            "process,p": TEXT,
            "detach,d": SWITCH,
            "pid-file": TEXT,
            "process-label": TEXT,
            "apparmor": TEXT,
            "no-new-privs": SWITCH,
            "cap,c": LIST,
            "preserve-fds": NUMBER,
            "cgroup": LIST,
            "ignore-paused": SWITCH,
            "no-subreaper": SWITCH,
        },
        words=(1, None),
        strict=True,
    ),
    "features": Syntax("show the enabled features", usage="", words=(0, 0)),
    "kill": Syntax(
        "kill sends the specified signal (default: SIGTERM) to the container's init process",
        usage="<container-id> [signal]",
        flags={"all,a": SWITCH},
        words=(1, 2),
    ),
    "list": Syntax(
        "lists containers started by sampan-runtime with the given root",
        usage="",
        flags={"format,f": TEXT, "quiet,q": SWITCH},
        words=(0, 0),
    ),
    "pause": Syntax("pause suspends all processes inside the container"),
    "ps": Syntax(
        "ps displays the processes running inside a container",
        usage="<container-id> [ps options]",
        flags={"format,f": TEXT},
        words=(1, None),
        strict=True,
    ),
    "resume": Syntax("resumes all processes that have been previously paused"),
    "run": Syntax(
        "create and run a container",
        flags={**_CREATE, "detach,d": SWITCH, "keep": SWITCH, "no-subreaper": SWITCH},
    ),
    "spec": Syntax(
        "create a new specification file",
        usage="",
        flags={"bundle,b": TEXT, "rootless": SWITCH},
        words=(0, 0),
    ),
    "start": Syntax("executes the user defined process in a created container"),
    "state": Syntax("output the state of a container"),
    "update": Syntax(
        "update container resource constraints",
        flags={
            "resources,r": TEXT,
            **dict.fromkeys(_UPDATE_NUMBERS, NUMBER),
            **dict.fromkeys(_UPDATE_TEXTS, TEXT),
        },
    ),
}


def _names(flags: Flags) -> dict[str, tuple[str, str]]:
    """Every spelling → (the long name, kind)."""
    return {
        spelling: (key.partition(",")[0], kind)
        for key, kind in flags.items()
        for spelling in key.split(",")
    }


def parse_flags(arguments: list[str], flags: Flags, *, strict: bool) -> Options:
    """Raises UsageError. With `strict` everything from the first word on is words."""
    names = _names(flags)
    options = Options({}, [])
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            options.words += rest
            break
        if len(argument) < 2 or not argument.startswith("-"):
            options.words.append(argument)
            if strict:
                options.words += rest
                break
            continue
        spelling, has_value, value = argument.lstrip("-").partition("=")
        if spelling not in names or argument.startswith("---"):
            raise UsageError(f"flag provided but not defined: -{argument.lstrip('-')}")
        name, kind = names[spelling]
        if kind != SWITCH and not has_value:
            if not rest:
                raise UsageError(f"flag needs an argument: -{spelling}")
            value = rest.pop(0)
        _store(options, name, kind, value if has_value or kind != SWITCH else "true")
    return options


def _store(options: Options, name: str, kind: str, value: str) -> None:
    if kind == SWITCH:
        if value not in _TRUE + _FALSE:
            raise UsageError(f'invalid boolean value "{value}" for -{name}')
        options.values[name] = value in _TRUE
    elif kind == NUMBER:
        try:
            options.values[name] = int(value, 0)
        except ValueError:
            raise UsageError(f'invalid value "{value}" for flag -{name}: parse error') from None
    elif kind == LIST:
        options.values[name] = [*options.listed(name), value]
    else:
        options.values[name] = value


def parse(arguments: list[str]) -> tuple[Options, str, Options]:
    """Global options, the command ("" when there is none), its options. Raises UsageError."""
    top = parse_flags(arguments, GLOBAL, strict=True)
    if not top.words:
        return top, "", Options({}, [])
    name, *rest = top.words
    if name not in COMMANDS:
        return top, name, Options({}, rest)
    syntax = COMMANDS[name]
    try:
        own = parse_flags(rest, {**syntax.flags, "help,h": SWITCH}, strict=syntax.strict)
        if not own.switch("help"):
            _check_count(name, len(own.words), *syntax.words)
    except UsageError as error:
        error.command, error.top = name, top
        raise
    return top, name, own


def _check_count(name: str, count: int, low: int, high: int | None) -> None:
    """As runc: exactly so many, or a least, or a greatest number."""
    number = low
    if low == high:
        wrong, how = count != low, "exactly"
    elif count < low:
        wrong, how = True, "a minimum of"
    else:
        wrong, how, number = high is not None and count > high, "a maximum of", high or 0
    if wrong:
        error = UsageError(f'sampan-runtime: "{name}" requires {how} {number} argument(s)')
        error.title = "Incorrect Usage."
        raise error


def help_text(command: str, version: str) -> str:
    if command in COMMANDS:
        syntax = COMMANDS[command]
        lines = ["NAME:", f"   sampan-runtime {command} - {syntax.summary}", "", "USAGE:"]
        options = "[command options] " if syntax.flags else ""
        lines += [f"   sampan-runtime {command} {options}{syntax.usage}".rstrip()]
        flags = syntax.flags
    else:
        lines = ["NAME:", "   sampan-runtime - Open Container Initiative runtime", "", "USAGE:"]
        lines += ["   sampan-runtime [global options] command [command options] [arguments...]", ""]
        lines += ["VERSION:", f"   {version}", "", "COMMANDS:"]
        lines += [f"   {name:10}  {syntax.summary}" for name, syntax in COMMANDS.items()]
        flags = GLOBAL
    if flags:
        lines += ["", "OPTIONS:"]
    for key, kind in flags.items():
        words = ", ".join(("--" if len(w) > 1 else "-") + w for w in key.split(","))
        lines.append(f"   {words}" + ("" if kind == SWITCH else " value"))
    return "\n".join(lines)
