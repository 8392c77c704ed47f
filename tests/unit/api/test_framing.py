"""The framer byte by byte and in random pieces: requests end where they end, and nothing is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.framing import Framer, Phase, Refused, check_head

PLAIN = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
SIZED = b"POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\n\r\nab\r\nc"
CHUNKED = (
    b"POST /b HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"3\r\nab\n\r\n0A;name=value\r\n0123456789\r\n000\r\n\r\n"
)
requests = st.lists(st.sampled_from([PLAIN, SIZED, CHUNKED]), min_size=1, max_size=6)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({at % (len(data) + 1) for at in cuts}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


@given(requests, st.lists(st.integers(0, 10_000), max_size=40))
def test_requests_come_out_one_by_one(sent: list[bytes], cuts: list[int]) -> None:
    """Whatever the pieces, each request is given back whole, and the next only after `advance`."""
    framer = Framer()
    found = [b""]
    for piece in cut(b"".join(sent), cuts):
        found[-1] += framer.feed(piece)
        while framer.phase is Phase.DONE and len(found) < len(sent):
            found.append(framer.advance())
    assert found == sent
    assert framer.phase is Phase.DONE
    assert framer.take_held() == b""


@pytest.mark.parametrize("request_", [PLAIN, SIZED, CHUNKED])
def test_what_comes_behind_is_held(request_: bytes) -> None:
    """Bytes behind a request are kept as they are, be they HTTP or not."""
    framer = Framer()
    assert framer.feed(request_ + b"\0raw") == request_
    assert framer.feed(b" bytes\n") == b""
    assert framer.take_held() == b"\0raw bytes\n"


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=10))
def test_garbage_is_refused_or_waited_for(data: bytes, cuts: list[int]) -> None:
    """Any bytes: the only exception is Refused, and what is passed on is a prefix."""
    framer, passed, status = Framer(), b"", 400
    try:
        for piece in cut(data, cuts):
            passed += framer.feed(piece)
    except Refused as refused:
        status = refused.status
    assert status in (400, 405, 431, 505)
    assert data.startswith(passed)


@given(st.binary(max_size=60), st.lists(st.integers(0, 10_000), max_size=10))
def test_chunked_bodies_end_at_the_same_byte_however_they_arrive(
    tail: bytes, cuts: list[int]
) -> None:
    """Fed at once and in pieces, the same is passed on, held or refused."""
    data = CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 4] + tail

    def run(pieces: list[bytes]) -> object:
        framer, passed = Framer(), b""
        try:
            for piece in pieces:
                passed += framer.feed(piece)
        except Refused as refused:
            return str(refused)
        return passed, framer.phase, bytes(framer.held)

    assert run([data]) == run(cut(data, cuts))


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (PLAIN, 0),
        (b"GET / HTTP/1.0\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nhOST:\tx \r\nCONTENT-length:  007 \r\n\r\n", 7),
        (b"GET / HTTP/1.1\r\nHost: d\r\ntransfer-encoding: chunked\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost:\r\nX:\r\nY: \xc3\xa4\r\n\r\n", 0),
    ],
)
def test_lengths_of_bodies(head: bytes, length: int | None) -> None:
    """Names match without regard to case, values without white space around them."""
    assert check_head(head) == length


def test_the_head_may_come_slowly_and_is_scanned_once() -> None:
    """A long head in many pieces is no quadratic work, and its limit holds while it grows."""
    framer = Framer()
    framer.feed(b"GET / HTTP/1.1\r\nHost: d\r\n")
    with pytest.raises(Refused, match="too large") as error:
        for _ in range(70_000):
            framer.feed(b"a")
    assert error.value.status == 431


def test_idle_means_that_nothing_of_a_request_is_there() -> None:
    """What keep-alive and the deadline of a head go by."""
    framer = Framer()
    assert framer.idle
    framer.feed(PLAIN[:5])
    assert not framer.idle
    framer.feed(PLAIN[5:])
    assert not framer.idle
    framer.advance()
    assert framer.idle
