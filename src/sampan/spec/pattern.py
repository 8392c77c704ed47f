"""Regular expressions in time that is linear in the text, for what clients send (names in filters).

Python's own engine backtracks: a pattern of ten characters can keep it busy for hours. This one follows all
possibilities at once, as Go's does. It knows what names need: literals, `.`, classes, groups, `|`, `* + ?`, `{m,n}`,
`^ $`, `\\d \\w \\s` and their contraries, `\\` before anything else. Out of scope: captures, flags, back references.
Source: Ken Thompson, "Regular Expression Search Algorithm", CACM 11 (1968).
"""

from __future__ import annotations

from collections.abc import Callable

SIZE_LIMIT = 4000  # instructions
_REPEAT_LIMIT = 1000
_DEPTH_LIMIT = 50

_DIGITS = frozenset("0123456789")
_WORD = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE = frozenset("\t\n\f\r ")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}

Accepts = Callable[[str], bool]
# ("take", accepts) | ("split", a, b) | ("jump", a) | ("begin",) | ("end",) | ("match",); targets are relative
Instruction = tuple[object, ...]
Program = list[Instruction]


class PatternError(ValueError):
    """It is no pattern, or more than is understood here."""


class Pattern:
    """`Pattern(text).found_in(other)`. Raises PatternError."""

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        program = parser.alternatives(0)
        if parser.rest():
            raise PatternError("unexpected )")
        self._program: Program = [*program, ("match",)]

    def found_in(self, text: str) -> bool:
        """Whether any part of the text fits."""
        current: set[int] = set()
        for at in range(len(text) + 1):
            current = self._follow(current | {0}, at, len(text))
            if len(self._program) - 1 in current:
                return True
            if at < len(text):
                current = self._step(current, text[at])
        return False

    def _step(self, states: set[int], character: str) -> set[int]:
        return {
            state + 1
            for state in states
            if self._program[state][0] == "take" and self._program[state][1](character)  # type: ignore[operator]
        }

    def _follow(self, states: set[int], at: int, end: int) -> set[int]:
        """With all that can be reached without taking a character."""
        found: set[int] = set()
        todo = list(states)
        while todo:
            state = todo.pop()
            if state in found:
                continue
            found.add(state)
            kind, *targets = self._program[state]
            if kind in ("split", "jump"):
                todo += [state + target for target in targets]  # type: ignore[operator]
            elif (kind == "begin" and at == 0) or (kind == "end" and at == end):
                todo.append(state + 1)
        return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def rest(self) -> bool:
        return self._at < len(self._text)

    def alternatives(self, depth: int) -> Program:
        if depth > _DEPTH_LIMIT:
            raise PatternError("nested too deeply")
        left = self._sequence(depth)
        while self._take("|"):
            right = self._sequence(depth)
            left = _checked([("split", 1, len(left) + 2), *left, ("jump", len(right) + 1), *right])
        return left

    def _sequence(self, depth: int) -> Program:
        program: Program = []
        while self.rest() and self._text[self._at] not in "|)":
            program = _checked(program + self._repeated(self._atom(depth)))
        return program

    def _repeated(self, atom: Program) -> Program:
        while self.rest():
            if self._take("*"):
                atom = _star(atom)
            elif self._take("+"):
                atom = atom + _star(atom)
            elif self._take("?"):
                atom = [("split", 1, len(atom) + 1), *atom]
            elif (bounds := self._bounds()) is not None:
                atom = _times(atom, *bounds)
            else:
                break
            self._take("?")  # lazy: the same for whether it fits
            atom = _checked(atom)
        return atom

    def _bounds(self) -> tuple[int, int | None] | None:
        end = self._text.find("}", self._at)
        if self._text[self._at] != "{" or end < 0:
            return None
        low, comma, high = self._text[self._at + 1 : end].partition(",")
        if not low.isdecimal() or not (high.isdecimal() or not high) or len(low + high) > 8:
            return None
        self._at = end + 1
        least, most = int(low), int(high) if high else None if comma else int(low)
        if least > _REPEAT_LIMIT or (most is not None and not least <= most <= _REPEAT_LIMIT):
            raise PatternError("invalid repeat count")
        return least, most

    def _atom(self, depth: int) -> Program:
        character = self._next()
        match character:
            case "(":
                if self._take("?") and not self._take(":"):
                    raise PatternError("groups of this kind are not understood")
                inner = self.alternatives(depth + 1)
                if not self._take(")"):
                    raise PatternError("missing closing )")
                return inner
            case "[":
                return [("take", self._class())]
            case ".":
                return [("take", lambda c: c != "\n")]
            case "^":
                return [("begin",)]
            case "$":
                return [("end",)]
            case "*" | "+" | "?":
                raise PatternError("missing argument to repetition operator")
            case "\\":
                return [("take", self._escape())]
        return [("take", character.__eq__)]

    def _escape(self) -> Accepts:
        letter = self._next()
        if letter.lower() in _CLASSES:
            members = _CLASSES[letter.lower()]
            return members.__contains__ if letter.islower() else lambda c: c not in members
        if letter.isalnum():
            raise PatternError(f"invalid escape sequence: \\{letter}")
        return letter.__eq__

    def _class(self) -> Accepts:
        contrary = self._take("^")
        accepted: list[Accepts] = []
        first = True
        while first or not self._take("]"):
            first = False
            accepted.append(self._member())
        return lambda c: any(accepts(c) for accepts in accepted) != contrary

    def _member(self) -> Accepts:
        low = self._next()
        if low == "\\":
            return self._escape()
        if self._text[self._at : self._at + 1] == "-" and self._text[
            self._at + 1 : self._at + 2
        ] not in ("]", ""):
            self._at += 1
            high = self._next()
            if high < low:
                raise PatternError("invalid character class range")
            return lambda c: low <= c <= high
        return low.__eq__

    def _next(self) -> str:
        if not self.rest():
            raise PatternError("unexpected end of the pattern")
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, character: str) -> bool:
        if self._text[self._at : self._at + 1] != character:
            return False
        self._at += 1
        return True


def _star(atom: Program) -> Program:
    return [("split", 1, len(atom) + 2), *atom, ("jump", -len(atom) - 1)]


def _times(atom: Program, least: int, most: int | None) -> Program:
    if len(atom) * max(least, most or 0) > SIZE_LIMIT:
        raise PatternError("expression too large")
    if most is None:
        return atom * least + _star(atom)
    optional: Program = []
    for _ in range(most - least):
        optional = [("split", 1, len(atom) + len(optional) + 1), *atom, *optional]
    return atom * least + optional


def _checked(program: Program) -> Program:
    if len(program) > SIZE_LIMIT:
        raise PatternError("expression too large")
    return program
