"""Text into tokens, as Go's text/template/parse does: with trim markers, comments, raw strings, and its errors."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT, _RIGHT = "{{", "}}"
_SPACE = " \t\r\n"
KEYWORDS = frozenset(
    [
        "block",
        "break",
        "continue",
        "define",
        "else",
        "end",
        "if",
        "range",
        "nil",
        "template",
        "with",
    ]
)
_DIGITS = "0123456789"


class TemplateError(Exception):
    """A template that cannot be parsed."""


class Token:
    """`kind` is a word such as "text", "field", "(": see the lexer's functions; `text` is the source."""

    __slots__ = ("kind", "line", "position", "text")

    def __init__(self, kind: str, text: str, position: int, line: int) -> None:
        self.kind = kind
        self.text = text
        self.position = position
        self.line = line

    def __str__(self) -> str:
        """As Go shows a token in a message."""
        if self.kind == "eof":
            return "EOF"
        if self.kind == "error":
            return self.text
        if self.kind in KEYWORDS or self.kind == "dot":
            return f"<{self.text}>"
        from sampan.spec.goquote import go_quote

        return f"{go_quote(self.text[:10])}..." if len(self.text) > 10 else go_quote(self.text)


def tokens(text: str) -> list[Token]:
    """All tokens, "eof" at the end; an "error" token ends them early."""
    lexer = _Lexer(text)
    found = []
    for token in lexer.run():
        found.append(token)
        if token.kind == "error":
            break
    return found


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._parentheses = 0
        self._trimmed = False

    def run(self) -> Iterator[Token]:
        trim_left = False
        while True:
            start = self._text.find(_LEFT, self._at)
            piece = self._text[self._at : start if start >= 0 else None]
            shown = piece.lstrip(_SPACE) if trim_left else piece
            skipped = len(piece) - len(shown)
            if start >= 0 and self._trims_right_of(start):
                shown = shown.rstrip(_SPACE)
            if shown:
                self._count(piece[:skipped])
                yield Token("text", shown, self._at + skipped, self._line)
                self._count(piece[skipped:])
            else:
                self._count(piece)
            if start < 0:
                yield Token("eof", "", len(self._text), self._line)
                return
            self._at = start + len(_LEFT)
            if self._trims_right_of(start):
                self._at += 2
            if self._text.startswith("/*", self._at):
                token = self._comment()
                if token is not None:
                    yield token
                    return
            else:
                yield Token("{{", _LEFT, start, self._line)
                yield from self._action()
            trim_left = self._trimmed

    def _trims_right_of(self, start: int) -> bool:
        """`{{- `: the marker is a dash and a blank."""
        after = self._text[start + 2 : start + 4]
        return len(after) == 2 and after[0] == "-" and after[1] in _SPACE

    def _comment(self) -> Token | None:
        end = self._text.find("*/", self._at)
        if end < 0:
            return self._error("unclosed comment")
        self._count(self._text[self._at : end])
        self._at = end + 2
        if not self._closes():
            return self._error("comment ends before closing delimiter")
        return None

    def _closes(self) -> bool:
        """Go over `}}` or ` -}}`, if one is here."""
        self._trimmed = False
        rest = self._text[self._at : self._at + 4]
        if len(rest) == 4 and rest[0] in _SPACE and rest[1:] == "-" + _RIGHT:
            self._trimmed = True
            self._at += 4
            return True
        if rest.startswith(_RIGHT):
            self._at += 2
            return True
        return False

    def _action(self) -> Iterator[Token]:
        self._parentheses = 0
        while True:
            start, line = self._at, self._line
            if self._closes():
                if self._parentheses:
                    self._at = start
                    yield self._error("unclosed left paren")
                    return
                yield Token("}}", _RIGHT, start, line)
                return
            token = self._inside()
            yield token
            if token.kind == "error":
                return

    def _inside(self) -> Token:
        if self._at >= len(self._text):
            return self._error("unclosed action")
        character = self._text[self._at]
        if character in _SPACE:
            return self._space()
        if character in "=|,":
            return self._take(character, 1)
        if character == ":":
            if self._text.startswith(":=", self._at):
                return self._take(":=", 2)
            return self._error("expected :=")
        if character in "()":
            return self._parenthesis(character)
        if character == '"':
            return self._quoted('"', "string", "unterminated quoted string")
        if character == "'":
            return self._quoted("'", "char", "unterminated character constant")
        if character == "`":
            return self._raw_string()
        if character == "$":
            return self._name("variable", 1)
        if character == "." and self._text[self._at + 1 : self._at + 2] not in tuple(_DIGITS):
            return self._dot()
        if character in _DIGITS or character in "+-.":
            return self._number()
        if character == "_" or character.isalpha():
            return self._word()
        if " " < character < "\x7f":
            return self._take("character", 1)
        return self._error(
            f"unrecognized character in action: U+{ord(character):04X} '{character}'"
        )

    def _space(self) -> Token:
        end = self._at
        while end < len(self._text) and self._text[end] in _SPACE:
            end += 1
        # The last blank before a trim marker belongs to the marker.
        if self._text.startswith("-" + _RIGHT, end):
            end -= 1
        return self._take("space", end - self._at)

    def _parenthesis(self, character: str) -> Token:
        self._parentheses += 1 if character == "(" else -1
        if self._parentheses < 0:
            return self._error("unexpected right paren")
        return self._take(character, 1)

    def _quoted(self, mark: str, kind: str, complaint: str) -> Token:
        end = self._at + 1
        while True:
            character = self._text[end : end + 1]
            if character in ("", "\n"):
                return self._error(complaint)
            if character == "\\":
                if self._text[end + 1 : end + 2] in ("", "\n"):
                    return self._error(complaint)
                end += 2
                continue
            end += 1
            if character == mark:
                return self._take(kind, end - self._at)

    def _raw_string(self) -> Token:
        end = self._text.find("`", self._at + 1)
        if end < 0:
            return self._error("unterminated raw quoted string")
        return self._take("string", end + 1 - self._at)

    def _dot(self) -> Token:
        following = self._text[self._at + 1 : self._at + 2]
        if not _is_alphanumeric(following):
            return self._take("dot", 1)
        return self._name("field", 1)

    def _name(self, kind: str, skip: int) -> Token:
        end = self._at + skip
        while _is_alphanumeric(self._text[end : end + 1]):
            end += 1
        return self._terminated(kind, end)

    def _word(self) -> Token:
        end = self._at
        while _is_alphanumeric(self._text[end : end + 1]):
            end += 1
        word = self._text[self._at : end]
        if word in KEYWORDS:
            kind = word
        elif word in ("true", "false"):
            kind = "bool"
        else:
            kind = "identifier"
        return self._terminated(kind, end)

    def _terminated(self, kind: str, end: int) -> Token:
        """A word must be followed by something that can follow a word."""
        following = self._text[end : end + 1]
        if (
            following
            and following not in _SPACE
            and following not in ".,|:()="
            and not self._text.startswith(_RIGHT, end)
        ):
            self._at = end
            return self._error(f"bad character U+{ord(following):04X} '{following}'")
        return self._take(kind, end - self._at)

    def _number(self) -> Token:
        end = self._at
        if self._text[end] in "+-":
            end += 1
        while self._text[end : end + 1].isalnum() or self._text[end : end + 1] in ("_", "."):
            if self._text[end] in "eEpP" and self._text[end + 1 : end + 2] in ("+", "-"):
                end += 1
            end += 1
        source = self._text[self._at : end]
        if parse_number(source) is None:
            return self._error(f'bad number syntax: "{source}"')
        return self._take("number", end - self._at)

    def _take(self, kind: str, length: int) -> Token:
        text = self._text[self._at : self._at + length]
        token = Token(kind, text, self._at, self._line)
        self._at += length
        self._count(text)
        return token

    def _error(self, text: str) -> Token:
        return Token("error", text, self._at, self._line)

    def _count(self, text: str) -> None:
        self._line += text.count("\n")


def parse_number(source: str) -> int | float | None:
    """A number of Go's syntax, or None."""
    body = source.lstrip("+-").lower()
    if not body or (not body[0].isdigit() and body[0] != "."):
        return None
    try:
        if len(body) > 1 and body[0] == "0" and body[1].isdigit() and set(body) <= set("01234567_"):
            value = int(body.replace("_", ""), 8)
            return -value if source[0] == "-" else value
        return int(source, 0)
    except ValueError:
        pass
    try:
        return float(source)
    except ValueError:
        return None


def _is_alphanumeric(character: str) -> bool:
    return character == "_" or character.isalnum()
