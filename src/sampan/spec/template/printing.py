"""Go's `fmt`: Print, Println and Printf on the values of templates."""

from __future__ import annotations

from sampan.spec.goquote import go_quote
from sampan.spec.template.values import Moment, Nil, Pointer, Record, Struct, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLAGS = "+-# 0"


def sprint(values: list[Any]) -> str:
    """A blank between two operands when neither is a string."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append(show(value))
    return "".join(parts)


def sprintln(values: list[Any]) -> str:
    return " ".join(map(show, values)) + "\n"


def show(value: Any, verb: str = "v", flags: str = "", depth: int = 0) -> str:
    """%v; with flags "+" or "#" %+v and %#v."""
    if value is None:
        return "<nil>" if verb in "vs" else f"%!{verb}(<nil>)"
    if isinstance(value, Nil):
        return _show_nil(value, flags)
    if isinstance(value, Pointer):
        return "0xc000010000" if depth else "&" + show(value.target, verb, flags)
    if isinstance(value, Struct):
        return _show_struct(value, verb, flags, depth)
    if isinstance(value, Record):
        return "&{}"
    if isinstance(value, Moment):
        return str(value)
    if isinstance(value, list):
        return _show_list(value, verb, flags, depth)
    if isinstance(value, dict):
        return _show_map(value, verb, flags, depth)
    return Format(flags, None, None).scalar(value, verb)


def sprintf(template: str, values: list[Any]) -> str:
    """Printf, with Go's notes about what is wrong (`%!d(string=hi)`)."""
    parts: list[str] = []
    position, used = 0, 0
    while (at := template.find("%", position)) >= 0:
        parts.append(template[position:at])
        text, position, used = _directive(template, at + 1, values, used)
        parts.append(text)
    parts.append(template[position:])
    if used < len(values):
        extra = ", ".join(_typed(value) for value in values[used:])
        parts.append(f"%!(EXTRA {extra})")
    return "".join(parts)


class Format:
    """Flags, width and precision of one directive."""

    def __init__(self, flags: str, width: int | None, precision: int | None) -> None:
        self.flags = flags
        self.width = width
        self.precision = precision

    def apply(self, value: Any, verb: str) -> str:
        if verb == "T":
            return self.pad(type_name(value))
        if (
            isinstance(value, list | dict | Struct | Pointer | Record | Moment | Nil)
            or value is None
        ):
            return self.pad(show(value, verb, self.flags))
        return self.scalar(value, verb)

    def scalar(self, value: Any, verb: str) -> str:
        if verb == "v" and "+" in self.flags:  # %+v is about structures, not about signs
            return Format(self.flags.replace("+", ""), self.width, self.precision).scalar(
                value, verb
            )
        if isinstance(value, bool):
            return self.pad("true" if value else "false") if verb in "tv" else _bad(verb, value)
        if isinstance(value, str):
            return self._string(value, verb)
        if isinstance(value, float):
            return self._float(value, verb)
        return self._integer(value, verb)

    def pad(self, text: str, *, zeros: bool = False) -> str:
        missing = (self.width or 0) - len(text)
        if missing <= 0:
            return text
        if "-" in self.flags:
            return text + " " * missing
        if zeros and "0" in self.flags:
            sign = text[:1] if text[:1] in ("+", "-") else ""
            return sign + "0" * missing + text[len(sign) :]
        return " " * missing + text

    def _string(self, value: str, verb: str) -> str:
        cut = value if self.precision is None else value[: self.precision]
        if verb == "v" and "#" in self.flags:
            return self.pad(go_quote(cut))
        if verb in "vs":
            return self.pad(cut)
        if verb == "q":
            raw = "#" in self.flags and "`" not in cut and cut.isprintable()
            return self.pad(f"`{cut}`" if raw else go_quote(cut))
        if verb in "xX":
            data = cut.encode("utf-8", "surrogateescape")
            digits = data.hex(" ") if " " in self.flags else data.hex()
            return self.pad(digits.upper() if verb == "X" else digits)
        return _bad(verb, value)

    def _integer(self, value: int, verb: str) -> str:
        if verb in "efgEFG":
            return _bad(verb, value)
        if verb == "c":
            return self.pad(chr(value))
        if verb == "q":
            return self.pad(
                "'" + go_quote(chr(value))[1:-1].replace("'", "\\'").replace('\\"', '"') + "'"
            )
        if verb == "U":
            return self.pad(f"U+{value:04X}")
        base = {"v": "d", "d": "d", "x": "x", "X": "X", "o": "o", "O": "o", "b": "b"}.get(verb)
        if base is None:
            return _bad(verb, value)
        digits = format(abs(value), base)
        if self.precision is not None:
            digits = digits.rjust(self.precision, "0")
        prefix = (
            {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in self.flags else ""
        )
        sign = "-" if value < 0 else "+" if "+" in self.flags else " " if " " in self.flags else ""
        return self.pad(
            f"{sign}{'0o' if verb == 'O' else prefix}{digits}", zeros=self.precision is None
        )

    def _float(self, value: float, verb: str) -> str:
        if verb not in "vefgEFG":
            return _bad(verb, value)
        sign = "+" if "+" in self.flags and value >= 0 else ""
        if verb in "vgG" and self.precision is None:
            text = _shortest(value)
        else:
            kind = "g" if verb == "v" else verb
            text = format(value, f".{6 if self.precision is None else self.precision}{kind}")
        return self.pad(sign + (text.upper() if verb in "EG" else text), zeros=True)


def _shortest(value: float) -> str:
    """The shortest digits that mean this number; an exponent from 1e21 and below 1e-4."""
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    if value != value:
        return "NaN"
    if value != 0 and not 1e-4 <= abs(value) < 1e21:
        mantissa, _, exponent = f"{value!r}".partition("e")
        if not exponent:
            mantissa, _, exponent = f"{value:.17e}".partition("e")
            mantissa = mantissa.rstrip("0")
        return f"{mantissa.removesuffix('.0').removesuffix('.')}e{exponent}"
    text = repr(value)
    if "e" in text:
        text = f"{value:.0f}"
    return text.removesuffix(".0")


def _directive(template: str, at: int, values: list[Any], used: int) -> tuple[str, int, int]:
    """The text of a directive that begins at `at`, where it ends, and how many values are used."""
    start = at
    while at < len(template) and template[at] in _FLAGS:
        at += 1
    flags = template[start:at]
    width, at, used = _count(template, at, values, used)
    if width is not None and width < 0:
        flags, width = flags + "-", -width
    precision = None
    if at < len(template) and template[at] == ".":
        precision, at, used = _count(template, at + 1, values, used)
        precision = precision or 0
    if at >= len(template):
        return "%!(NOVERB)", at, used
    verb = template[at]
    at += 1
    if verb == "%":
        return "%", at, used
    if used >= len(values):
        return f"%!{verb}(MISSING)", at, used
    return Format(flags, width, precision).apply(values[used], verb), at, used + 1


def _count(template: str, at: int, values: list[Any], used: int) -> tuple[int | None, int, int]:
    if at < len(template) and template[at] == "*":
        given = values[used] if used < len(values) else None
        return (given if isinstance(given, int) else None), at + 1, used + 1
    end = at
    while end < len(template) and template[end].isdigit():
        end += 1
    return (int(template[at:end]) if end > at else None), end, used


def _bad(verb: str, value: Any) -> str:
    return f"%!{verb}({_typed(value)})"


def _typed(value: Any) -> str:
    return "<nil>" if value is None else f"{type_name(value)}={show(value)}"


def _show_nil(value: Nil, flags: str) -> str:
    if "#" in flags:
        return f"{value.type_name}(nil)"
    return {"slice": "[]", "map": "map[]"}.get(value.kind, "<nil>")


def _show_struct(value: Struct, verb: str, flags: str, depth: int) -> str:
    fields = value.fields.items()
    if "#" in flags:
        inner = ", ".join(f"{name}:{show(item, verb, flags, depth + 1)}" for name, item in fields)
        return f"{value.type_name}{{{inner}}}"
    named = "+" in flags
    inner = " ".join(
        (f"{name}:" if named else "") + show(item, verb, flags, depth + 1) for name, item in fields
    )
    return f"{{{inner}}}"


def _show_list(value: list[Any], verb: str, flags: str, depth: int) -> str:
    shown = [show(item, verb, flags, depth + 1) for item in value]
    if "#" in flags:
        return f"{type_name(value)}{{{', '.join(shown)}}}"
    return f"[{' '.join(shown)}]"


def _show_map(value: dict[str, Any], verb: str, flags: str, depth: int) -> str:
    pairs = [(key, show(value[key], verb, flags, depth + 1)) for key in sorted(value)]
    if "#" in flags:
        inner = ", ".join(f"{go_quote(key)}:{item}" for key, item in pairs)
        return f"{type_name(value)}{{{inner}}}"
    shown = verb if verb != "d" else "v"
    return f"map[{' '.join(f'{show(key, shown)}:{item}' for key, item in pairs)}]"
