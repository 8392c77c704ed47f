"""Users and groups are found as dockerd finds them, strictly, and hostile files cost bounded work."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.users import User, parse_number, resolve

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www:x:33:33:www:/home/www:/bin/sh

7:x:70:71:a name that is a number:/seven:/bin/sh
twice:x:33:34::/other:/bin/sh
bad:x:zero:0::/bad:/bin/sh
huge:x:4294967296:0::/huge:/bin/sh
negative:x:-1:0::/n:/bin/sh
short:x:5
homeless:x:90:90
"""
GROUP = b"""root:x:0:root
wheel:x:10:root,www
www:x:33:
extra:x:50:www,other
7:x:77:
bad:x:zz:root
"""
RANGE = "uids and gids must be in range 0-2147483647"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", User(0, 0, (0, 10), "/root")),
        ("root", User(0, 0, (0, 10), "/root")),
        ("0", User(0, 0, (0, 10), "/root")),
        ("www", User(33, 33, (33, 10, 50), "/home/www")),
        ("33", User(33, 33, (33, 10, 50), "/home/www")),
        ("twice", User(33, 34, (34,), "/other")),
        ("1000", User(1000, 0, (0,), "/")),
        ("1000:1000", User(1000, 1000, (1000,), "/")),
        ("www:wheel", User(33, 10, (10,), "/home/www")),
        ("www:5", User(33, 5, (5,), "/home/www")),
        (":5", User(0, 5, (5,), "/root")),
        ("5:", User(5, 0, (0,), "/")),
        ("root:root:x", User(0, 0, (0,), "/root")),
        ("01", User(1, 1, (1,), "/usr/sbin")),
        ("+1", User(1, 1, (1,), "/usr/sbin")),
        ("7", User(7, 0, (0,), "/")),
        ("1000:7", User(1000, 7, (7,), "/")),
        ("homeless", User(90, 90, (90,), "/")),
        ("2147483647:2147483647", User(2147483647, 2147483647, (2147483647,), "/")),
    ],
)
def test_resolve(user: str, expected: User) -> None:
    """Names, numbers, both with groups; a number is an id even where a name looks like it."""
    assert resolve(user, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("foo", "unable to find user foo: no matching entries in passwd file"),
        ("a:b:c", "unable to find user a: no matching entries in passwd file"),
        ("root:nogrp", "unable to find group nogrp: no matching entries in group file"),
        ("bad", "unable to find user bad: no matching entries in passwd file"),
        ("huge", "unable to find user huge: no matching entries in passwd file"),
        ("negative", "unable to find user negative: no matching entries in passwd file"),
        ("short", "unable to find user short: no matching entries in passwd file"),
        ("root:bad", "unable to find group bad: no matching entries in group file"),
        ("4294967296", RANGE),
        ("2147483648", RANGE),
        ("-1", RANGE),
        ("1:99999999999", RANGE),
        ("1:-1", RANGE),
        ("9" * 70, f"unable to find user {'9' * 70}: no matching entries in passwd file"),
        ("0x10", "unable to find user 0x10: no matching entries in passwd file"),
        ("1_000", "unable to find user 1_000: no matching entries in passwd file"),
        ("\u0661", "unable to find user \u0661: no matching entries in passwd file"),
        ("\ud800", "unable to find user \ud800: no matching entries in passwd file"),
        (" 1", "unable to find user  1: no matching entries in passwd file"),
        ("root\n", "unable to find user root\n: no matching entries in passwd file"),
    ],
)
def test_refused(user: str, text: str) -> None:
    """What is nobody is said in Docker's words, and no number is ever wrapped into root's."""
    with pytest.raises(InvalidParameter) as error:
        resolve(user, PASSWD, GROUP)
    assert str(error.value) == text


def test_added_groups() -> None:
    """Names and numbers of `--group-add` come last."""
    assert resolve("www", PASSWD, GROUP, ["wheel", "99"]).groups == (33, 10, 50, 99)
    with pytest.raises(
        InvalidParameter, match="Unable to find group zz: no matching entries in group file"
    ):
        resolve("", PASSWD, GROUP, ["zz"])
    with pytest.raises(InvalidParameter, match=RANGE):
        resolve("", PASSWD, GROUP, ["4294967296"])


def test_no_files() -> None:
    """An image without passwd and group has numbers only."""
    assert resolve("", b"", b"") == User(0, 0, (0,), "/")
    assert resolve("12:13", b"", b"") == User(12, 13, (13,), "/")


def test_names_that_are_not_utf8() -> None:
    """A home of odd bytes survives the round trip."""
    assert (
        resolve("0", b"root:x:0:0::/\xff\xfe:", b"").home.encode("utf-8", "surrogateescape")
        == b"/\xff\xfe"
    )


@pytest.mark.parametrize(
    "group",
    [
        b"g:x:5:" + b"www," * (1 << 18),
        b"g:x:5:" + b"x" * (1 << 20),
        b"g:x:5:www\n" * 100_000,
        b":" * (1 << 20),
        b"\n" * (1 << 20),
        b"\0" * (1 << 20),
    ],
    ids=["members", "long", "lines", "colons", "empty", "nul"],
)
def test_hostile_files_are_cheap(group: bytes) -> None:
    """A megabyte of anything costs a fraction of a second, a few times its size, and NGROUPS_MAX groups at most."""
    started = time.process_time()
    user = resolve("www", PASSWD, group)
    assert time.process_time() - started < 1
    assert len(user.groups) <= 65536
    resolve("33", group + b"\n" + PASSWD, group)
    assert time.process_time() - started < 2
    part = group[: 1 << 18]
    tracemalloc.start()
    resolve("www", PASSWD, part)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(part)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        ("-5", -5),
        ("9223372036854775807", (1 << 63) - 1),
        ("9223372036854775808", None),
        ("-9223372036854775808", -(1 << 63)),
        ("", None),
        ("-", None),
        ("+-1", None),
        ("1e3", None),
        ("\u00b2", None),
        ("0" * 5000, None),
    ],
)
def test_parse_number(text: str, number: int | None) -> None:
    """Decimal numbers of 64 bits as Go's Atoi has them, nothing else that Python calls a number."""
    assert parse_number(text) == number
