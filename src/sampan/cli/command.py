"""What a command is, and what it is given."""

from __future__ import annotations

from sampan.cli.failure import UsageError
from sampan.cli.identity import PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.client import Client
    from sampan.cli.config import Config

UNLIMITED = 1 << 30


class Command:
    """A line of the table of commands. The module `sampan.cli.commands.MODULE` has `FLAGS` and `run`."""

    def __init__(
        self,
        name: str,
        use: str,
        short: str,
        module: str,
        *,
        least: int = 0,
        most: int = UNLIMITED,
        aliases: tuple[str, ...] = (),
        interspersed: bool = True,
        common: bool = False,
        words: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.use = use
        self.short = short
        self.module = module
        self.least = least
        self.most = most
        self.aliases = aliases
        self.interspersed = interspersed
        self.common = common
        self.words = (
            words  # first arguments that the command itself understands, and counts what follows
        )

    def check_arguments(self, path: str, arguments: list[str]) -> None:
        """Raises UsageError (exit code 1) when there are too few or too many."""
        if arguments and arguments[0] in self.words:
            return
        count = len(arguments)
        if self.least <= count <= self.most:
            return
        wants, verb = self._wants()
        text = f"{PROGRAM}: '{path}' {wants}\n\nUsage:  {self.use_line(path)}\n\n"
        raise UsageError(f"{text}{verb} '{path} --help' for more information", 1)

    def use_line(self, path: str) -> str:
        return f"{path} {self.use}".rstrip()

    def _wants(self) -> tuple[str, str]:
        if self.most == 0:
            return "accepts no arguments", "Run"
        if self.most == UNLIMITED:
            return f"requires at least {_arguments(self.least)}", "See"
        if self.least == self.most:
            return f"requires {_arguments(self.least)}", "Run"
        if self.least == 0:
            return f"requires at most {_arguments(self.most)}", "Run"
        return f"requires at least {self.least} and at most {_arguments(self.most)}", "Run"


class Group:
    """A word such as `container` under which commands are found; `synonyms` are not listed."""

    def __init__(
        self,
        name: str,
        short: str,
        members: dict[str, Command],
        synonyms: dict[str, str],
        *,
        use: str = "",
    ) -> None:
        self.use = use
        self.name = name
        self.short = short
        self.members = members
        self.synonyms = synonyms

    def use_line(self, path: str) -> str:
        return f"{path} {self.use}".rstrip()

    def find(self, word: str) -> tuple[str, Command] | None:
        """The command and the word it is listed under."""
        name = self.synonyms.get(word, word)
        return (name, self.members[name]) if name in self.members else None


class App:
    """What every command gets: the daemon, the configuration, and how it was called."""

    def __init__(self, client: Client, config: Config, path: str, *, debug: bool = False) -> None:
        self.client = client
        self.config = config
        self.path = path
        self.debug = debug


def _arguments(count: int) -> str:
    return f"{count} argument{'' if count == 1 else 's'}"
