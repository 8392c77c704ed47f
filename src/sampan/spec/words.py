"""Words of a Dockerfile line: split at blanks, quotes taken off, variables put in.

`$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}`, `${NAME:?text}`; single quotes keep everything, double
quotes everything but `$` and the backslash. As Docker's shell lexer; its texts for errors.
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan.errors import InvalidParameter

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_SPECIAL = frozenset("@*#?-$!")


def split_words(text: str) -> list[str]:
    """Words of `text` with their quotes and backslashes still in."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if not quote and character in " \t\n":
            if word:
                words.append("".join(word))
                word = []
            continue
        word.append(character)
        if character == "\\" and quote != "'" and at < len(text):
            word.append(text[at])
            at += 1
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
    if word:
        words.append("".join(word))
    return words


def expand(word: str, environment: Mapping[str, str]) -> str:
    """What `word` means. Raises InvalidParameter."""
    try:
        return _Lexer(word, environment).run("")
    except _Bad as error:
        quoted = word.replace("\\", "\\\\").replace('"', '\\"')
        raise InvalidParameter(f'failed to process "{quoted}": {error}') from None


class _Bad(Exception):
    pass


class _Lexer:
    def __init__(self, text: str, environment: Mapping[str, str]) -> None:
        self._text = text
        self._environment = environment
        self._at = 0

    def run(self, stop: str) -> str:
        """Up to the character `stop` or the end."""
        result: list[str] = []
        while (character := self._peek()) and character != stop:
            if character == "'":
                result.append(self._single())
            elif character == '"':
                result.append(self._double())
            elif character == "$":
                result.append(self._dollar())
            else:
                self._at += 1
                if character == "\\":
                    character = self._peek()
                    self._at += 1
                result.append(character)
        return "".join(result)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise _Bad("unexpected end of statement while looking for matching single-quote")
        content = self._text[self._at + 1 : end]
        self._at = end + 1
        return content

    def _double(self) -> str:
        result: list[str] = []
        self._at += 1
        while (character := self._peek()) != '"':
            if not character:
                raise _Bad("unexpected end of statement while looking for matching double-quote")
            if character == "$":
                result.append(self._dollar())
                continue
            self._at += 1
            if character == "\\" and self._peek() and self._peek() in '"$\\':
                character = self._peek()
                self._at += 1
            result.append(character)
        self._at += 1
        return "".join(result)

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            return self._environment.get(name, "") if name else "$"
        self._at += 1
        name = self._name()
        if not name:
            raise _Bad("bad substitution")
        character = self._peek()
        self._at += 1
        if character == "}":
            return self._environment.get(name, "")
        if character != ":":
            raise _Bad("missing ':' in substitution")
        return self._modified(name)

    def _modified(self, name: str) -> str:
        modifier = self._peek()
        self._at += 1
        word = self.run("}")
        if self._peek() != "}":
            raise _Bad("syntax error: missing '}'")
        self._at += 1
        value = self._environment.get(name, "")
        if modifier == "+":
            return word if value else ""
        if modifier == "-":
            return value or word
        if modifier == "?":
            if not value:
                raise _Bad(f"{name}: {word or 'is not allowed to be empty'}")
            return value
        raise _Bad(f"unsupported modifier ({modifier}) in substitution")

    def _name(self) -> str:
        start = self._at
        if self._peek() and self._peek() in _SPECIAL:
            self._at += 1
            return self._text[start : self._at]
        digits = self._peek().isdigit()
        while self._peek() and (self._peek().isdigit() if digits else self._peek() in _NAME):
            self._at += 1
        return self._text[start : self._at]
