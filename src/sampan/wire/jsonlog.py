"""Docker's json-file log: one JSON object a line, byte for byte as dockerd writes it.

    {"log":"hello\\n","stream":"stdout","time":"2026-11-24T05:31:00.5Z"}

`log` keeps its newline; a line of more than 16 KiB is several records, all but the last without one, and
so is a last line that never got one. Times are Go's RFC3339Nano: no trailing zeros. Strings are escaped
as Go does it for HTML; every byte that is not UTF-8 becomes `\\ufffd`.
Out of scope: files and rotation (`monitor/log.py`, the engine's `logs`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

LINE_LIMIT = 16 * 1024
RECORD_LIMIT = 1024 * 1024  # a longer line of a file is not a record of anybody's

_CONTROLS = {byte: b"\\u%04x" % byte for byte in range(32) if byte not in b"\n\r"}
_ESCAPES = {
    **_CONTROLS,
    ord("\r"): b"\\r",
    ord('"'): b'\\"',
    ord("<"): b"\\u003c",
    ord(">"): b"\\u003e",
    ord("&"): b"\\u0026",
    ord("\\"): b"\\\\",
}
_PLAIN = bytes(byte for byte in range(256) if byte not in _ESCAPES)


def format_time(nanoseconds: int) -> str:
    """Nanoseconds since 1970 → RFC3339Nano in UTC, as Go prints it."""
    seconds, rest = divmod(nanoseconds, 10**9)
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    text = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else text + "Z"


def escape(data: bytes) -> bytes:
    """The inside of a JSON string, but with newlines left as they are."""
    special = set(data.translate(None, _PLAIN))
    if special:
        if ord("\\") in special:
            special.remove(ord("\\"))
            data = data.replace(b"\\", b"\\\\")
        for byte in special:
            data = data.replace(bytes((byte,)), _ESCAPES[byte])
    return data if data.isascii() else _escape_unicode(data)


def _escape_unicode(data: bytes) -> bytes:
    # These two end a line in JavaScript; E2 never stands inside another character.
    data = data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        # Every bad byte becomes one reference "&#56???;": no other "&" is left in escaped text.
        marked = data.decode("utf-8", "surrogateescape").encode("utf-8", "xmlcharrefreplace")
        first, *others = marked.split(b"&#")
        return b"\\ufffd".join([first, *[other[6:] for other in others]])
    return data


class Encoder:
    """One stream's bytes → records. Whole chunks are encoded at once: what `feed` is given has one time.

    Keeps at most one unfinished line of less than 16 KiB.
    """

    def __init__(self, stream: str, attributes: Mapping[str, str] | None = None) -> None:
        """`attributes` stand in every record, in the order of their names, as Go writes a map."""
        extra = ""
        if attributes:
            ordered = {key: attributes[key] for key in sorted(attributes)}
            extra = f'"attrs":{_go_json(ordered)},'
        self._middle = f'","stream":"{stream}",{extra}"time":"'.encode()
        self._pending = b""
        self._partial_time: bytes | None = None  # of the first record of the line that goes on

    def feed(self, data: bytes, moment: str) -> bytes:
        """The records that are complete; `moment` is from `format_time`."""
        now = moment.encode()
        data = self._pending + data
        end = data.rfind(b"\n") + 1
        whole = self._lines(data, end, now) if end else b""
        tail = data[end:]
        if len(tail) >= LINE_LIMIT:
            return whole + self._pieces(tail, now)
        self._pending = tail
        return whole

    def finish(self, moment: str) -> bytes:
        """A last line without newline, if there is one."""
        tail, self._pending = self._pending, b""
        if not tail:
            return b""
        return self._record(tail, self._partial_time or moment.encode(), ending=b"")

    def _pieces(self, tail: bytes, now: bytes) -> bytes:
        """Full pieces of a line that has not ended."""
        first = self._partial_time = self._partial_time or now
        count = len(tail) // LINE_LIMIT
        self._pending = tail[count * LINE_LIMIT :]
        return b"".join(
            self._record(tail[at : at + LINE_LIMIT], first, ending=b"")
            for at in range(0, count * LINE_LIMIT, LINE_LIMIT)
        )

    def _lines(self, data: bytes, end: int, now: bytes) -> bytes:
        """Whole lines, `data[:end]`: runs of short ones at a stroke, long ones piece by piece."""
        if self._partial_time is None and end <= LINE_LIMIT:
            return self._run(data[:end], now)
        found = []
        start = position = 0
        while position < end:
            if self._partial_time is None:
                newline = data.rfind(b"\n", position, position + LINE_LIMIT)
                if newline >= 0:
                    position = newline + 1
                    continue
            if start < position:
                found.append(self._run(data[start:position], now))
            start = position = self._long_line(data, position, now, found)
        if start < position:
            found.append(self._run(data[start:position], now))
        return b"".join(found)

    def _long_line(self, data: bytes, position: int, now: bytes, found: list[bytes]) -> int:
        """The line at `position`, the rest of one that was begun or too long; where the next begins."""
        newline = data.index(b"\n", position)
        first, self._partial_time = self._partial_time or now, None
        while newline - position >= LINE_LIMIT:
            found.append(self._record(data[position : position + LINE_LIMIT], first, ending=b""))
            position += LINE_LIMIT
        found.append(self._record(data[position:newline], first, ending=b"\\n"))
        return newline + 1

    def _run(self, lines: bytes, now: bytes) -> bytes:
        tail = b"\\n" + self._middle + now + b'"}\n'
        body = escape(lines[:-1]).replace(b"\n", tail + b'{"log":"')
        return b'{"log":"' + body + tail

    def _record(self, text: bytes, moment: bytes, *, ending: bytes) -> bytes:
        return b'{"log":"' + escape(text) + ending + self._middle + moment + b'"}\n'


def _go_json(value: dict[str, str]) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace").decode()


class Record:
    """One record: `log` is what the program wrote (UTF-8), `time` the text as it stands in the file."""

    __slots__ = ("attributes", "log", "stream", "time")

    def __init__(
        self, log: bytes, stream: str, time: str, attributes: dict[str, str] | None = None
    ) -> None:
        self.log = log
        self.stream = stream
        self.time = time
        self.attributes = attributes

    @property
    def nanoseconds(self) -> int:
        return parse_time(self.time)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and (self.log, self.stream, self.time) == (
            other.log,
            other.stream,
            other.time,
        )

    def __repr__(self) -> str:
        return f"Record({self.log!r}, {self.stream!r}, {self.time!r})"

    __hash__ = None  # type: ignore[assignment]


def parse_time(text: str) -> int:
    """RFC3339Nano in UTC → nanoseconds since 1970. Raises ValueError."""
    if len(text) < 20 or text[-1] != "Z" or text[10] != "T":
        raise ValueError(f"invalid time {text!r}")
    days = _days(int(text[:4]), int(text[5:7]), int(text[8:10]))
    seconds = days * 86400 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    fraction = text[20:-1]
    if text[19] not in ".Z" or len(fraction) > 9:
        raise ValueError(f"invalid time {text!r}")
    return seconds * 10**9 + (int(fraction.ljust(9, "0")) if fraction else 0)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of the Gregorian calendar; a year that begins in March has no leap trouble."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError(f"invalid date {year}-{month}-{day}")
    year -= month < 3
    of_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719468


def time_of(line: bytes) -> str | None:
    """Only the time of a line: for a search through a large file."""
    at = line.rfind(b'"time":"')
    end = line.find(b'"', at + 8)
    return line[at + 8 : end].decode("ascii", "replace") if at >= 0 and end > at else None


def parse(line: bytes) -> Record | None:
    """One line, with or without its newline; None when it is no record (torn by a crash, foreign)."""
    text, found, tail = line.rpartition(b'","stream":"')
    if found and text.startswith(b'{"log":"'):
        parts = tail.rstrip(b"\n").split(b'"')
        if len(parts) == 6 and parts[1:4] == [b",", b"time", b":"] and parts[5] == b"}":
            log = _unescape(text[8:])
            if log is not None:
                return Record(
                    log, parts[0].decode("ascii", "replace"), parts[4].decode("ascii", "replace")
                )
    return _parse_slowly(line)


def _unescape(text: bytes) -> bytes | None:
    at = text.find(b"\\")
    if at < 0:
        return text if b'"' not in text else None
    if at == len(text) - 2 and text[at + 1 :] == b"n" and b'"' not in text:
        return text[:-2] + b"\n"
    try:
        value = json.loads(b'"' + text + b'"')
    except ValueError:
        return None
    return _encode(value)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _parse_slowly(line: bytes) -> Record | None:
    """Records of other writers: other spacing, attributes, no `log` when it is empty."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    log, stream, moment = value.get("log", ""), value.get("stream", ""), value.get("time")
    if not (isinstance(log, str) and isinstance(stream, str) and isinstance(moment, str)):
        return None
    attributes = value.get("attrs")
    if not isinstance(attributes, dict):
        return Record(_encode(log), stream, moment)
    texts = {str(key): str(each) for key, each in attributes.items()}
    return Record(_encode(log), stream, moment, texts)


class Decoder:
    """A file's bytes in any pieces → records. Lines that are none are counted in `skipped`."""

    def __init__(self) -> None:
        self.skipped = 0
        self._pending = b""

    def feed(self, data: bytes) -> list[Record]:
        lines = (self._pending + data).split(b"\n")
        self._pending = lines.pop()
        if len(self._pending) > RECORD_LIMIT:
            # Its end will be a line that is no record, and be counted then.
            self._pending = self._pending[:1]
        records = []
        for line in lines:
            record = parse(line)
            if record is None:
                self.skipped += 1
            else:
                records.append(record)
        return records
