"""The json-file format: byte for byte what dockerd 20.10 wrote for the same output, and back."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire import jsonlog
from sampan.wire.jsonlog import LINE_LIMIT, Decoder, Encoder, Record, format_time, parse, parse_time

NOW = "2026-11-24T05:36:37.5Z"


def lines(data: bytes) -> list[str]:
    return [json.loads(line)["log"] for line in data.splitlines()]


def test_a_record_looks_as_dockerds() -> None:
    """Recorded from dockerd 20.10: escapes, control characters, bytes that are not UTF-8, U+2028."""
    printed = b'tab\there"q"\\ <a>&b \x01\x1b[0m\x7f bad\xff\xfe\xe2\x82 x\xe2\x80\xa8y\xed\xa0\x80z \xc3\xa9\n'
    expected = (
        '{"log":"tab\\u0009here\\"q\\"\\\\ \\u003ca\\u003e\\u0026b \\u0001\\u001b[0m\x7f bad'
        "\\ufffd\\ufffd\\ufffd\\ufffd x\\u2028y\\ufffd\\ufffd\\ufffdz é"
        '\\n","stream":"stdout","time":"2026-11-24T05:36:37.5Z"}\n'
    )
    assert Encoder("stdout").feed(printed, NOW) == expected.encode()
    assert Encoder("stdout").feed(b"cr\r\n\n", NOW).startswith(b'{"log":"cr\\r\\n","stream"')


def test_a_literal_replacement_character_is_left_alone() -> None:
    """Only bytes that are not UTF-8 become the six characters `\\ufffd`."""
    assert jsonlog.escape("\ufffd".encode()) == b"\xef\xbf\xbd"
    assert jsonlog.escape(b"\xef\xbf\xbd\xff&#56448;") == b"\xef\xbf\xbd\\ufffd\\u0026#56448;"


@pytest.mark.parametrize(
    ("length", "ended", "pieces"),
    [
        (LINE_LIMIT - 1, True, [LINE_LIMIT]),
        (LINE_LIMIT, True, [LINE_LIMIT, 1]),
        (40000, True, [LINE_LIMIT, LINE_LIMIT, 40001 - 2 * LINE_LIMIT]),
        (40000, False, [LINE_LIMIT, LINE_LIMIT, 40000 - 2 * LINE_LIMIT]),
        (LINE_LIMIT, False, [LINE_LIMIT]),
        (5, False, [5]),
        (0, False, []),
    ],
)
@pytest.mark.parametrize("chunk", [1000, 16384, 10**6])
def test_long_lines_are_cut_as_dockerd_cuts_them(
    length: int, ended: bool, pieces: list[int], chunk: int
) -> None:
    """Pieces of 16 KiB without a newline, however the output arrived; the end of a line has one."""
    data = b"b" * length + (b"\n" if ended else b"")
    encoder = Encoder("stderr")
    written = b"".join(
        encoder.feed(data[at : at + chunk], NOW) for at in range(0, len(data), chunk)
    )
    written += encoder.finish(NOW)
    assert [len(text) for text in lines(written)] == pieces
    assert "".join(lines(written)) == data.decode()


def test_all_pieces_of_a_line_have_the_time_of_the_first() -> None:
    """As dockerd; the next line has its own."""
    encoder = Encoder("stdout")
    written = encoder.feed(b"x" * LINE_LIMIT, "T1")
    written += encoder.feed(b"y\nz\n", "T2")
    found = [json.loads(line) for line in written.splitlines()]
    assert [(each["log"][-2:], each["time"]) for each in found] == [
        ("xx", "T1"),
        ("y\n", "T1"),
        ("z\n", "T2"),
    ]


def test_a_line_that_comes_in_parts_is_one_record() -> None:
    """Nothing is written before its end."""
    encoder = Encoder("stdout")
    assert encoder.feed(b"hal", NOW) == b""
    assert lines(encoder.feed(b"lo\nne", NOW)) == ["hallo\n"]
    assert lines(encoder.finish(NOW)) == ["ne"]
    assert encoder.finish(NOW) == b""


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b"\n", b"\xe2\x80\xa8", b"\xff", b"a" * 16383, b"a" * 16384, b"a" * 9000]
            ),
        ),
        max_size=12,
    )
)
def test_any_output_in_any_cuts_gives_the_same_records(parts: list[bytes]) -> None:
    """Cutting never changes what is written; every record is JSON and decodes to what was printed."""
    whole = Encoder("stdout")
    at_once = whole.feed(b"".join(parts), NOW) + whole.finish(NOW)
    pieces = Encoder("stdout")
    cut = b"".join(pieces.feed(part, NOW) for part in parts) + pieces.finish(NOW)
    assert cut == at_once
    texts = lines(at_once)
    assert all(len(text) <= LINE_LIMIT for text in texts)
    printed = b"".join(parts)
    if printed.isascii():
        assert "".join(texts).encode() == printed


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
        (1795498597514688967, "2026-11-24T05:36:37.514688967Z"),
        (951782400_120000000, "2000-02-29T00:00:00.12Z"),
    ],
)
def test_times_are_gos(nanoseconds: int, text: str) -> None:
    """RFC3339Nano: no trailing zeros, no fraction when it is none; and back."""
    assert format_time(nanoseconds) == text
    assert parse_time(text) == nanoseconds


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2999, 12, 31)))
def test_times_agree_with_the_standard_library(moment: datetime) -> None:
    """Days, leap years, fractions."""
    seconds = int(moment.replace(tzinfo=UTC, microsecond=0).timestamp())
    nanoseconds = seconds * 10**9 + moment.microsecond * 1000
    assert parse_time(format_time(nanoseconds)) == nanoseconds
    assert format_time(nanoseconds)[:19] == moment.isoformat()[:19]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-24",
        "2026-13-24T05:36:37Z",
        "2026-11-24T05:36:37+01:00",
        "2026-11-24T05:36:37.1234567890Z",
        "x" * 24 + "Z",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    """ValueError, never a wrong moment."""
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (b'{"log":"a\\n","stream":"stdout","time":"T"}', Record(b"a\n", "stdout", "T")),
        (b'{"log":"a","stream":"stderr","time":"T"}\n', Record(b"a", "stderr", "T")),
        (
            b'{"log":"\\u003c\\"\\\\n\\n","stream":"stdout","time":"T"}',
            Record(b'<"\\n\n', "stdout", "T"),
        ),
        (
            b'{"log":"\\",\\"stream\\":\\"x","stream":"stdout","time":"T"}',
            Record(b'","stream":"x', "stdout", "T"),
        ),
        (
            b'{"log":"\\ufffd\\ud800","stream":"stdout","time":"T"}',
            Record(b"\xef\xbf\xbd?", "stdout", "T"),
        ),
        (
            b'{"log":"a\\n","stream":"stdout","attrs":{"k":"v"},"time":"T"}',
            Record(b"a\n", "stdout", "T"),
        ),
        (b'{"stream":"stdout","time":"T"}', Record(b"", "stdout", "T")),
        (b'{ "time": "T", "stream": "stdout", "log": "b" }', Record(b"b", "stdout", "T")),
        (b"", None),
        (b'{"log":"torn', None),
        (b'{"log":"a\\n","stream":"stdout","time":7}', None),
        (b'{"log":"a"b","stream":"stdout","time":"T"}', None),
        (b'{"log":"\\x","stream":"stdout","time":"T"}', None),
        (b"[1]", None),
        (b"[" * 100000, None),
    ],
)
def test_a_line_is_parsed_or_is_none(line: bytes, record: Record | None) -> None:
    """Ours quickly, others' by JSON, a torn one not at all."""
    assert parse(line) == record


def test_the_time_of_a_line_without_parsing_it() -> None:
    """For a search in a large file."""
    line = b'{"log":"\\"time\\":\\"no\\n","stream":"stdout","time":"2026-11-24T05:36:37.5Z"}\n'
    assert jsonlog.time_of(line) == NOW
    assert jsonlog.time_of(b'{"log":"x') is None


@given(st.lists(st.binary(max_size=50), max_size=10), st.integers(1, 40))
def test_decoder_and_encoder_agree(parts: list[bytes], size: int) -> None:
    """What was written comes back, in any cuts; a torn record between is counted and skipped."""
    encoder = Encoder("stderr")
    written = b"".join(encoder.feed(part, NOW) for part in parts) + encoder.finish(NOW)
    records = [parse(line) for line in written.splitlines(keepends=True)]
    data = written + b'{"log":"torn\n' + written
    decoder = Decoder()
    found = [
        record for at in range(0, len(data), size) for record in decoder.feed(data[at : at + size])
    ]
    assert found == records * 2
    assert decoder.skipped == 1
    if found:
        assert found[0].nanoseconds == parse_time(NOW)


def test_a_line_without_end_costs_bounded_memory() -> None:
    """It is no record; the next one is found."""
    decoder = Decoder()
    for _ in range(40):
        assert decoder.feed(b"x" * 100_000) == []
    assert len(decoder._pending) <= jsonlog.RECORD_LIMIT
    assert len(decoder.feed(b'\n{"log":"a","stream":"stdout","time":"T"}\n')) == 1
    assert decoder.skipped == 1


def test_plain_output_is_encoded_at_a_stroke() -> None:
    """200 MB of ordinary lines take seconds, not minutes (here: far more than 20 MB/s)."""
    chunk = (
        b"the quick brown fox jumps over the lazy dog, eighty columns of it .............\n" * 800
    )
    encoder = Encoder("stdout")
    begin = time.process_time()
    for _ in range(100):
        encoder.feed(chunk, NOW)
    assert 100 * len(chunk) / (time.process_time() - begin) > 20e6
