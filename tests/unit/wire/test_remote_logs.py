"""Lines as syslog, journald and fluentd take them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sampan.wire import fluentd, journald
from sampan.wire.lines import Lines
from sampan.wire.syslog import SyslogEncoder

MOMENT = 1_763_964_060_123_456_789


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_lines() -> None:
    """Whole lines, long ones in pieces, a last one without a newline; in any pieces."""
    lines = Lines()
    assert lines.feed(b"a\nb") == [(b"a", False)]
    assert lines.feed(b"c\n\n") == [(b"bc", False), (b"", False)]
    long = b"x" * 40_000
    found = lines.feed(long + b"\n")
    assert [(len(line), partial) for line, partial in found] == [
        (16384, True),
        (16384, True),
        (7232, False),
    ]
    assert lines.feed(b"y" * 16_384) == [(b"y" * 16_384, True)]
    assert lines.feed(b"end") == []
    assert lines.finish() == [(b"end", False)]
    assert lines.finish() == []


@pytest.mark.parametrize(
    ("format", "error", "message"),
    [
        ("", False, b"<30>Nov 24 06:01:00 web[7]: hi\n"),
        ("", True, b"<27>Nov 24 06:01:00 web[7]: hi\n"),
        ("rfc3164", False, b"<30>Nov 24 06:01:00 host web[7]: hi\n"),
        ("rfc5424", False, b"<30>1 2025-11-24T06:01:00Z host web 7 web - hi\n"),
        ("rfc5424micro", False, b"<30>1 2025-11-24T06:01:00.123456Z host web 7 web - hi\n"),
    ],
)
def test_syslog(format: str, error: bool, message: bytes) -> None:
    """The four forms; stderr is an error."""
    encoder = SyslogEncoder(format=format, facility=3, host="host", tag="web", pid=7)
    assert encoder.encode(b"hi", error=error, moment=MOMENT) == message


def test_journald() -> None:
    """Fields, a value with a newline by its length, names that journald accepts."""
    encoder = journald.JournalEncoder(
        container_id="0123456789abcdef", name="web", image="i", tag="t", attributes={"a.b": "1"}
    )
    sent = encoder.encode(b"hi", error=True, partial=True, moment=MOMENT).decode()
    assert dict(line.split("=", 1) for line in sent.splitlines()) == {
        "A_B": "1",
        "CONTAINER_ID": "0123456789ab",
        "CONTAINER_ID_FULL": "0123456789abcdef",
        "CONTAINER_NAME": "web",
        "CONTAINER_TAG": "t",
        "IMAGE_NAME": "i",
        "SYSLOG_IDENTIFIER": "t",
        "PRIORITY": "3",
        "MESSAGE": "hi",
        "SYSLOG_TIMESTAMP": str(MOMENT // 1000),
        "CONTAINER_PARTIAL_MESSAGE": "true",
    }
    assert journald.field("X", b"a\nb") == b"X\n\x03\0\0\0\0\0\0\0a\nb\n"
    assert [journald.field_name(text) for text in ("a-b", "_1x", "9", "")] == ["A_B", "X", "X", "X"]


@pytest.mark.parametrize(
    ("value", "packed"),
    [
        (None, b"\xc0"),
        (True, b"\xc3"),
        (0, b"\0"),
        (127, b"\x7f"),
        (128, b"\xcc\x80"),
        (65_536, b"\xce\0\x01\0\0"),
        (1 << 32, b"\xcf\0\0\0\x01\0\0\0\0"),
        (-1, b"\xff"),
        (-33, b"\xd3" + b"\xff" * 7 + b"\xdf"),
        ("", b"\xa0"),
        ("a" * 31, b"\xbf" + b"a" * 31),
        ("a" * 32, b"\xd9 " + b"a" * 32),
        ("a" * 256, b"\xda\x01\0" + b"a" * 256),
        (b"a", b"\xc4\x01a"),
        ([1, "a"], b"\x92\x01\xa1a"),
        ({"a": 1}, b"\x81\xa1a\x01"),
        (list(range(16)), b"\xdc\0\x10" + bytes(range(16))),
    ],
)
def test_message_pack(value: Any, packed: bytes) -> None:
    """The specification's formats."""
    assert fluentd.pack(value) == packed


def test_fluentd() -> None:
    """Message mode: tag, time in seconds or to the nanosecond, record, options."""
    encoder = fluentd.FluentdEncoder(
        tag="t",
        container_id="c",
        name="web",
        attributes={"k": "v"},
        sub_second=False,
        acknowledged=False,
    )
    record = {"container_id": "c", "container_name": "/web", "k": "v", "source": "stdout"}
    message, chunk = encoder.encode(b"hi", stream="stdout", partial=False, moment=MOMENT)
    assert chunk == ""
    expected = [b"\x94\xa1t", fluentd.pack(MOMENT // 10**9)]
    assert message == b"".join([*expected, fluentd.pack({**record, "log": "hi"}), b"\x80"])
    precise = fluentd.FluentdEncoder(
        tag="t", container_id="c", name="w", attributes={}, sub_second=True, acknowledged=True
    )
    message, chunk = precise.encode(b"hi", stream="stdout", partial=True, moment=MOMENT)
    assert message[3:13] == (
        b"\xd7\0" + (MOMENT // 10**9).to_bytes(4, "big") + (123_456_789).to_bytes(4, "big")
    )
    assert message.endswith(fluentd.pack({"chunk": chunk}))
    assert fluentd.pack("partial_message") in message


def test_acknowledgements() -> None:
    """Byte by byte, short and long; what is none is refused."""
    answers = fluentd.pack({"ack": "a"}) + fluentd.pack({"ack": "b" * 40})
    reader, found = fluentd.AckReader(), []
    for byte in answers:
        found += reader.feed(bytes((byte,)))
    assert found == ["a", "b" * 40]
    with pytest.raises(ValueError, match="no acknowledgement"):
        fluentd.AckReader().feed(b"HTTP/1.1 200 OK")
