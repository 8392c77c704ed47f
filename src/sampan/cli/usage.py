"""`--help` in docker's layout (cobra's template, pflag's table of flags)."""

from __future__ import annotations

from sampan.cli.identity import PROGRAM
from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.command import Command, Group
    from sampan.cli.flags import Flag

_ROOT_SHORT = "Containers and images, by a daemon that is started when it is needed"
_SLOP = 5
_NARROW = 24


def command_help(command: Command, path: str, flags: tuple[Flag, ...], width: int) -> str:
    aliases = ", ".join(f"{PROGRAM} {alias}" for alias in command.aliases)
    text = f"Usage:  {command.use_line(path)}\n\n{command.short}\n"
    if aliases:
        text += f"\nAliases:\n  {aliases}\n"
    if table := flag_table(flags, width):
        text += f"\nOptions:\n{table}"
    return text


def group_help(group: Group, path: str) -> str:
    lines = {name: group.members[name].short for name in sorted(group.members)}
    return (
        f"Usage:  {path} COMMAND\n\n{group.short}\n\nCommands:\n{_command_list(lines)}\n"
        f"Run '{path} COMMAND --help' for more information on a command.\n"
    )


def root_help(
    commands: dict[str, Command], groups: dict[str, Group], flags: tuple[Flag, ...], width: int
) -> str:
    common = {c.name: c.short for c in commands.values() if c.common}
    others = {name: commands[name].short for name in sorted(commands) if not commands[name].common}
    management = {group.name: group.short for group in groups.values()}
    return (
        f"Usage:  {PROGRAM} [OPTIONS] COMMAND\n\n{_ROOT_SHORT}\n"
        f"\nCommon Commands:\n{_command_list(common)}"
        f"\nManagement Commands:\n{_command_list(management)}"
        f"\nCommands:\n{_command_list(others)}"
        f"\nGlobal Options:\n{flag_table(flags, width)}"
        f"\nRun '{PROGRAM} COMMAND --help' for more information on a command.\n"
    )


def flag_table(flags: tuple[Flag, ...], width: int) -> str:
    """The flags that are not hidden, by name, their texts wrapped at `width` columns."""
    rows = [(_left(f), _right(f)) for f in sorted(flags, key=lambda f: f.name) if not f.hidden]
    edge = max((len(left) for left, _ in rows), default=0) + 1
    return "".join(
        f"{left}{' ' * (edge - len(left))}  {_wrap(edge + 2, width - 1, right)}\n"
        for left, right in rows
    )


def terminal_width() -> int:
    """Columns of the terminal that is standard input, as docker looks; else 80."""
    import os

    try:
        return os.get_terminal_size(0).columns or 80
    except OSError:
        return 80


def _command_list(lines: dict[str, str]) -> str:
    return "".join(f"  {name:<11} {short}\n" for name, short in lines.items())


def _left(flag: Flag) -> str:
    start = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
    return f"{start} {flag.kind.word}".rstrip()


def _right(flag: Flag) -> str:
    note = flag.note
    if not note and flag.kind.word == "string" and flag.default:
        note = go_quote(flag.default)
    return f"{flag.usage} (default {note})" if note else flag.usage


def _wrap(indent: int, width: int, text: str) -> str:
    """pflag's wrapping: the last line may be a little longer rather than leave one short word."""
    room = width - indent
    start = ""
    if room < _NARROW:
        indent, room = 16, width - 16
        start = "\n" + " " * indent
    margin = "\n" + " " * indent
    if room < _NARROW:
        return text.replace("\n", start)
    room -= _SLOP
    line, text = _cut(room, text)
    wrapped = start + line.replace("\n", margin)
    while text:
        line, text = _cut(room, text)
        wrapped += margin + line.replace("\n", margin)
    return wrapped


def _cut(room: int, text: str) -> tuple[str, str]:
    if room + _SLOP > len(text):
        return text, ""
    head = text[:room]
    blank = max(head.rfind(" "), head.rfind("\t"), head.rfind("\n"))
    if blank <= 0:
        return text, ""
    newline = head.rfind("\n")
    at = newline if 0 < newline < blank else blank
    return text[:at], text[at + 1 :]
