"""The command `sampan`: words, flags, tables, messages and exit codes of `docker`. Here: how it begins and ends.

It starts in a few milliseconds because it imports nothing that is slow to import: tests name the modules that must
not appear on the way of `ps`, `run`, `inspect` and `version`. Hence the sockets of `_socket`, the JSON scanner of
`_json`, plain classes instead of dataclasses, and commands that are imported when they are called.
Out of scope: everything the daemon decides.
"""

from __future__ import annotations

import os
import sys

from sampan.cli import output
from sampan.cli.command import App, Command, Group
from sampan.cli.commands.table import COMMANDS, GROUPS
from sampan.cli.config import Config, default_directory
from sampan.cli.failure import Failure, Interrupted, UsageError
from sampan.cli.flags import Flag, HelpWanted, Values, parse
from sampan.cli.identity import BUILD, PROGRAM, VERSION
from sampan.cli.kinds import LIST, STRING, SWITCH
from sampan.cli.wakeups import open_pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from types import FrameType
    from typing import NoReturn
else:
    import _signal

_SHORTHAND = "Flag shorthand -h has been deprecated, use --help\n"
_LEVELS = ("debug", "info", "warn", "warning", "error", "fatal", "panic", "trace")

GLOBAL_FLAGS = (
    Flag("config", "", STRING, "Folder of the configuration", default=default_directory()),
    Flag("debug", "D", SWITCH, "Say more about what is done", default=False),
    Flag("host", "H", LIST, "Socket of the daemon"),
    Flag(
        "log-level",
        "l",
        STRING,
        'What to log ("debug", "info", "warn", "error", "fatal")',
        default="info",
    ),
    Flag("version", "v", SWITCH, "Print the version and end", default=False),
)


def main() -> NoReturn:
    """The process `sampan`. It leaves by `_exit`: everything is written, and taking Python down takes 2 ms."""
    open_pipe()
    for number in (_signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, _interrupt)
    os._exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code; errors are printed here and nowhere else."""
    try:
        return _dispatch(arguments)
    except Failure as failure:
        if str(failure):
            output.error(f"{failure}\n")
        return failure.exit_code
    except Interrupted as interrupt:
        return 128 + interrupt.signal
    except BrokenPipeError:
        return _die_of_sigpipe()


def _dispatch(arguments: list[str]) -> int:
    try:
        values, words = parse(GLOBAL_FLAGS, arguments, interspersed=False)
    except HelpWanted as wanted:
        return _print_root_help(wanted)
    except UsageError as error:
        raise _with_usage(error, f"{PROGRAM} [OPTIONS] COMMAND [ARG...]", PROGRAM) from None
    if values["log-level"] not in _LEVELS:
        raise Failure(f"Unable to parse logging level: {values['log-level']}")
    if values["version"]:
        output.out(f"{PROGRAM} version {VERSION}, build {BUILD}\n")
        return 0
    if not words:
        return _print_root_help(None)
    if words[0] == "help":
        return _help_command(words[1:])
    return _run_command(values, *_find(words))


def _find(words: list[str]) -> tuple[str, Command | Group, list[str]]:
    """The called path, what it names, and the arguments behind it."""
    word, rest = words[0], words[1:]
    if word in COMMANDS:
        return f"{PROGRAM} {word}", COMMANDS[word], rest
    group = GROUPS.get(word)
    if group is None:
        _check_flags(PROGRAM, rest, GLOBAL_FLAGS, f"{PROGRAM} [OPTIONS] COMMAND [ARG...]")
        text = f"{PROGRAM}: unknown command: {PROGRAM} {word}\n\n"
        raise Failure(f"{text}Run '{PROGRAM} --help' for more information")
    path = f"{PROGRAM} {word}"
    if not rest or rest[0].startswith("-"):
        return path, group, rest
    found = group.find(rest[0])
    if found is None:
        _check_flags(path, rest, (), path)
        text = f"{PROGRAM}: unknown command: {path} {rest[0]}\n\nUsage:  {group.use_line(path)}\n\n"
        raise Failure(f"{text}Run '{path} --help' for more information")
    return f"{path} {found[0]}", found[1], rest[1:]


def _check_flags(path: str, arguments: list[str], flags: tuple[Flag, ...], use_line: str) -> None:
    """An unknown flag is complained about first, even of an unknown command."""
    try:
        parse(flags, arguments)
    except HelpWanted:
        return
    except UsageError as error:
        raise _with_usage(error, use_line, path) from None


def _run_command(globals_: Values, path: str, target: Command | Group, arguments: list[str]) -> int:
    if isinstance(target, Group):
        return _run_group(target, path, arguments)
    module = __import__(f"sampan.cli.commands.{target.module}", fromlist=["run"])
    try:
        values, words = parse(module.FLAGS, arguments, interspersed=target.interspersed)
    except HelpWanted as wanted:
        return _print_help(target, path, module.FLAGS, wanted)
    except UsageError as error:
        raise _with_usage(error, target.use_line(path), path) from None
    target.check_arguments(path, words)
    from sampan.cli.support import check_supported

    app = _make_app(globals_, path)
    try:
        check_supported(app.client, values, module.FLAGS)
        code: int = module.run(app, values, words)
    finally:
        app.client.close()
    return code


def _make_app(values: Values, path: str) -> App:
    from sampan.cli.address import choose
    from sampan.cli.client import Client

    address = choose(values["host"])
    client = Client(address, None if address.explicit else _start_daemon)
    return App(client, Config(values["config"]), path, debug=values["debug"])


def _start_daemon() -> bool:
    from sampan.cli.autostart import start

    return start()


def _run_group(group: Group, path: str, arguments: list[str]) -> int:
    from sampan.cli.usage import group_help

    try:
        parse((), arguments)
    except HelpWanted as wanted:
        output.out((_SHORTHAND if wanted.deprecated else "") + group_help(group, path))
    except UsageError as error:
        raise _with_usage(error, path, path) from None
    else:
        output.error(group_help(group, path))
    return 0


def _help_command(words: list[str]) -> int:
    if not words:
        return _print_root_help(None)
    try:
        path, target, _ = _find(words)
    except Failure:
        raise Failure(f"unknown help topic: {' '.join(words)}") from None
    if isinstance(target, Group):
        return _run_group(target, path, ["--help"])
    module = __import__(f"sampan.cli.commands.{target.module}", fromlist=["run"])
    return _print_help(target, path, module.FLAGS, None)


def _print_help(
    command: Command, path: str, flags: tuple[Flag, ...], wanted: HelpWanted | None
) -> int:
    from sampan.cli.usage import command_help, terminal_width

    shorthand = _SHORTHAND if wanted is not None and wanted.deprecated else ""
    output.out(shorthand + command_help(command, path, flags, terminal_width()))
    return 0


def _print_root_help(wanted: HelpWanted | None) -> int:
    from sampan.cli.usage import root_help, terminal_width

    if wanted is not None and wanted.deprecated:
        output.error(_SHORTHAND)
    output.out(root_help(COMMANDS, GROUPS, GLOBAL_FLAGS, terminal_width()))
    return 0


def _with_usage(error: UsageError, use_line: str, path: str) -> UsageError:
    return UsageError(f"{error}\n\nUsage:  {use_line}\n\nRun '{path} --help' for more information")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _die_of_sigpipe() -> int:
    """End as every other program in a pipe does whose reader has gone."""
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    os.kill(os.getpid(), _signal.SIGPIPE)
    return 141
