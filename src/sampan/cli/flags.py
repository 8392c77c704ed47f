"""Command lines by the rules of Go's pflag, with its error texts.

    -i -t      -it      -itd      joined switches; a flag that takes a value takes the rest: -efoo, -e=foo, -e foo
    --flag x   --flag=x           a switch takes a value only with `=`: --rm=false
    --                            the end of the flags

No abbreviations. A command either stops at its first argument (run, exec, create) or takes flags anywhere.
"""

from __future__ import annotations

from sampan.cli.failure import UsageError
from sampan.cli.kinds import SWITCH, Kind
from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Flag:
    """One flag. `key` names its value when another flag is an alias of it (`--net`, `--network`).

    `note` is the default that the help shows when the kind alone does not tell; `since` the API version that knows
    the flag; `windows` marks those of daemons on Windows.
    """

    __slots__ = (
        "default",
        "hidden",
        "key",
        "kind",
        "name",
        "note",
        "short",
        "since",
        "usage",
        "windows",
    )

    def __init__(
        self,
        name: str,
        short: str,
        kind: Kind,
        usage: str,
        *,
        default: Any = None,
        note: str = "",
        hidden: bool = False,
        key: str = "",
        since: str = "",
        windows: bool = False,
    ) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.usage = usage
        self.default = default
        self.note = note
        self.hidden = hidden
        self.key = key or name
        self.since = since
        self.windows = windows

    @property
    def title(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class HelpWanted(Exception):
    """`--help` was among the flags; `deprecated` when it was spelled `-h`."""

    def __init__(self, *, deprecated: bool = False) -> None:
        super().__init__()
        self.deprecated = deprecated


class Values:
    """What a command line says: `values["name"]`, and whether a flag was given at all."""

    def __init__(self, flags: tuple[Flag, ...]) -> None:
        self._values: dict[str, Any] = {}
        self._changed: set[str] = set()
        for flag in flags:
            self._values.setdefault(flag.key, [] if flag.kind.many else flag.default)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def changed(self, key: str) -> bool:
        return key in self._changed

    def set(self, flag: Flag, text: str) -> None:
        """Raises ValueError when the text is no value of the flag's kind."""
        value = flag.kind.parse(text)
        if flag.kind.many:
            self._values[flag.key].append(value)
        else:
            self._values[flag.key] = value
        self._changed.add(flag.key)


HELP = Flag("help", "", SWITCH, "Print usage", default=False, hidden=True)


def parse(
    flags: tuple[Flag, ...], arguments: list[str], *, interspersed: bool = True
) -> tuple[Values, list[str]]:
    """Values and positional arguments. Raises UsageError, or HelpWanted after a command line without faults."""
    parser = _Parser(flags if any(f.name == "help" for f in flags) else (*flags, HELP))
    positional = parser.run(arguments, interspersed)
    if parser.values["help"]:
        raise HelpWanted
    return parser.values, positional


class _Parser:
    def __init__(self, flags: tuple[Flag, ...]) -> None:
        self.values = Values(flags)
        self._long = {flag.name: flag for flag in flags}
        self._short = {flag.short: flag for flag in flags if flag.short}

    def run(self, arguments: list[str], interspersed: bool) -> list[str]:
        positional: list[str] = []
        rest = list(reversed(arguments))
        while rest:
            word = rest.pop()
            if len(word) < 2 or word[0] != "-":
                positional.append(word)
                if interspersed:
                    continue
                break
            if word == "--":
                break
            if word.startswith("--"):
                self._take_long(word, rest)
            else:
                self._take_short(word[1:], rest)
        return positional + rest[::-1]

    def _take_long(self, word: str, rest: list[str]) -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name[0] == "-":
            raise UsageError(f"bad flag syntax: {word}")
        flag = self._long.get(name)
        if flag is None:
            raise UsageError(f"unknown flag: --{name}")
        if equals:
            self._set(flag, value)
        elif flag.kind.is_switch:
            self._set(flag, "true")
        elif rest:
            self._set(flag, rest.pop())
        else:
            raise UsageError(f"flag needs an argument: --{name}")

    def _take_short(self, letters: str, rest: list[str]) -> None:
        while letters:
            letter, after = letters[0], letters[1:]
            flag = self._short.get(letter)
            if flag is None and letter == "h":
                raise HelpWanted(deprecated=True)
            if flag is None:
                raise UsageError(f"unknown shorthand flag: {_go_rune(letter)} in -{letters}")
            if len(after) > 1 and after[0] == "=":
                self._set(flag, after[1:])
                return
            if flag.kind.is_switch:
                self._set(flag, "true")
                letters = after
                continue
            if after:
                self._set(flag, after)
            elif rest:
                self._set(flag, rest.pop())
            else:
                raise UsageError(f"flag needs an argument: {_go_rune(letter)} in -{letters}")
            return

    def _set(self, flag: Flag, text: str) -> None:
        try:
            self.values.set(flag, text)
        except ValueError as error:
            raise UsageError(
                f"invalid argument {go_quote(text)} for {go_quote(flag.title)} flag: {error}"
            ) from None


def _go_rune(letter: str) -> str:
    return f"'{letter}'"
