"""The tar reader reads what tarfile and GNU tar write, however the bytes are cut, and refuses the rest."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.errors import ProtocolError
from sampan.wire import tar
from sampan.wire.tar import END, Header, TarReader

TYPES = {
    tarfile.REGTYPE: tar.FILE,
    tarfile.AREGTYPE: tar.FILE,
    tarfile.CONTTYPE: tar.FILE,
    tarfile.LNKTYPE: tar.LINK,
    tarfile.SYMTYPE: tar.SYMLINK,
    tarfile.CHRTYPE: tar.CHARACTER,
    tarfile.BLKTYPE: tar.BLOCK_DEVICE,
    tarfile.DIRTYPE: tar.DIRECTORY,
    tarfile.FIFOTYPE: tar.FIFO,
}


def read(data: bytes, step: int = 1 << 20, *, close: bool = True) -> list[tuple[Header, bytes]]:
    """Every entry with its content, fed `step` bytes at a time."""
    reader = TarReader()
    entries: list[tuple[Header, bytes]] = []
    content = b""
    ended = True
    for start in range(0, len(data), step):
        for event in reader.feed(data[start : start + step]):
            if isinstance(event, Header):
                assert ended, "an entry began before the last one ended"
                entries.append((event, b""))
                content, ended = b"", False
            elif event is END:
                assert not ended
                entries[-1] = (entries[-1][0], content)
                ended = True
            else:
                assert isinstance(event, memoryview)
                assert len(event) > 0
                content += event
    if close:
        reader.close()
    assert all(len(body) == header.size for header, body in entries) or not close
    return entries


def archive(*members: tuple[dict[str, Any], bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """What tarfile writes for members given as TarInfo attributes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as file:
        for attributes, body in members:
            info = tarfile.TarInfo()
            for key, value in attributes.items():
                setattr(info, key, value)
            info.size = len(body)
            file.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


MEMBERS: list[tuple[dict[str, Any], bytes]] = [
    ({"name": "d", "type": tarfile.DIRTYPE, "mode": 0o1755}, b""),
    ({"name": "d/f", "mode": 0o4755, "uid": 1, "gid": 2, "uname": "u", "gname": "g"}, b"hello"),
    ({"name": "d/block", "mtime": 1_000_000_000}, b"x" * 512),
    ({"name": "d/" + "n" * 99 + "/" + "m" * 120}, b"y" * 513),
    ({"name": "l", "type": tarfile.LNKTYPE, "linkname": "d/f"}, b""),
    ({"name": "s", "type": tarfile.SYMTYPE, "linkname": "t" * 150}, b""),
    ({"name": "c", "type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, b""),
    ({"name": "b", "type": tarfile.BLKTYPE, "devmajor": 259, "devminor": 70000}, b""),
    ({"name": "p", "type": tarfile.FIFOTYPE}, b""),
    ({"name": "ü\udcff", "mtime": 5}, b"z" * 1025),
    ({"name": "big", "uid": 3_000_000, "gid": 4_000_000_000}, b""),
]  # fmt: skip


def check_members(entries: list[tuple[Header, bytes]]) -> None:
    assert len(entries) == len(MEMBERS)
    for (header, body), (wanted, content) in zip(entries, MEMBERS):
        assert body == content
        assert header.name.rstrip(b"/").decode("utf-8", "surrogateescape") == wanted["name"]
        assert header.type == TYPES[wanted.get("type", tarfile.REGTYPE)]
        assert header.mode == wanted.get("mode", 0o644)
        assert (header.uid, header.gid) == (wanted.get("uid", 0), wanted.get("gid", 0))
        assert header.linkname.decode() == wanted.get("linkname", "")
        assert header.mtime_ns == wanted.get("mtime", 0) * 10**9
        assert header.major == wanted.get("devmajor", 0)
        assert header.minor == wanted.get("devminor", 0)
        assert header.uname.decode() == wanted.get("uname", "")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [1, 7, 511, 512, 513, 1 << 20])
def test_reads_what_tarfile_writes(form: int, step: int) -> None:
    """Every type, long names, large owners, in both formats, cut anywhere."""
    check_members(read(archive(*MEMBERS, form=form), step))


def test_writes_what_it_reads() -> None:
    """The writer's archive comes back the same, from our reader and from tarfile."""
    data = b"".join(
        tar.encode_header(header) + body + tar.padding(len(body))
        for header, body in read(archive(*MEMBERS))
    )
    data += tar.END_OF_ARCHIVE
    check_members(read(data))
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        assert [info.name.rstrip("/") for info in file] == [m["name"] for m, _ in MEMBERS]


def test_times_xattrs_and_sizes_of_pax() -> None:
    """Nanoseconds before and after the epoch, binary xattr values, a name that ustar can split."""
    header = Header(b"p" * 150 + b"/" + b"q" * 90, size=3, mtime_ns=-1_500_000_000)
    header.xattrs = {b"user.a": b"\0\n=\xff", b"security.capability": bytes(20)}
    (found, body), (second, _) = read(
        tar.encode_header(header) + b"abc" + tar.padding(3) + tar.encode_header(Header(b"x"))
    )
    assert (found.name, found.mtime_ns, found.xattrs) == (
        header.name,
        -1_500_000_000,
        header.xattrs,
    )
    assert body == b"abc"
    assert second.xattrs is None
    assert second.mtime_ns == 0
    large = Header(b"large", size=1 << 40, mtime_ns=1_234_567_890_123_456_789)
    reader = TarReader()
    event = next(reader.feed(tar.encode_header(large)))
    assert isinstance(event, Header)
    assert (event.size, event.mtime_ns) == (1 << 40, 1_234_567_890_123_456_789)


def record(text: bytes) -> bytes:
    """`key=value` with the length that counts itself."""
    length = len(text) + 2
    while length != len(b"%d %s\n" % (length, text)):
        length += 1
    return b"%d %s\n" % (length, text)


def pax(records: bytes, kind: bytes = b"x", after: Header | None = None) -> bytes:
    """A raw extended header and the entry it is for."""
    extended = Header(b"pax", kind, size=len(records))
    return (
        tar.encode_header(extended)
        + records
        + tar.padding(len(records))
        + tar.encode_header(after or Header(b"entry"))
    )


def test_global_headers_hold_until_they_are_taken_back() -> None:
    """A global record is the default of what follows; a local one wins, an empty one unsets."""
    data = pax(record(b"uname=joe") + record(b"uid=7"), b"g") + tar.encode_header(Header(b"second"))
    data += pax(record(b"uid=9")) + pax(record(b"uid="), after=Header(b"last", uid=5))
    uids = [header.uid for header, _ in read(data)]
    assert uids == [7, 7, 9, 5]
    assert read(data)[1][0].uname == b"joe"


def test_gnu_names_win_over_the_header() -> None:
    """`L` and `K` blocks, cut at their NUL, and both for one entry."""
    data = b"".join(
        tar.encode_header(Header(b"././@LongLink", kind, size=len(text)))
        + text
        + tar.padding(len(text))
        for kind, text in ((b"L", b"n" * 300 + b"\0"), (b"K", b"l" * 300 + b"\0garbage"))
    )
    ((header, _),) = read(data + tar.encode_header(Header(b"short", tar.SYMLINK, linkname=b"x")))
    assert (header.name, header.linkname) == (b"n" * 300, b"l" * 300)


def test_old_headers() -> None:
    """V7 has no magic and marks folders by a slash; base-256 holds what octal cannot."""
    block = bytearray(512)
    block[0:4] = b"dir/"
    block[100:107] = b"0000755"
    block[108:116] = struct.pack(">BxxxI", 0x80, 5_000_000)
    block[136:148] = b"\xff" * 12  # base-256 for -1
    block[148:156] = b"        "
    block[148:155] = b"%06o\0" % sum(block)
    ((header, _),) = read(bytes(block))
    assert (header.type, header.mode, header.uid) == (tar.DIRECTORY, 0o755, 5_000_000)
    assert header.mtime_ns == -(10**9)


def test_signed_checksums_are_taken() -> None:
    """Some old programs added signed bytes."""
    block = bytearray(tar.encode_header(Header(b"\xff\xfe", mtime_ns=0))[-512:])
    block[148:156] = b"        "
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % signed
    assert read(bytes(block))[0][0].name == b"\xff\xfe"


def test_the_end_is_where_go_sees_it() -> None:
    """No end mark, half of one, or no padding after the last entry is an end; garbage after it is ignored."""
    data = archive(({"name": "a"}, b"x" * 10), form=tarfile.USTAR_FORMAT)[:1024]
    for end in (b"", bytes(512), bytes(1024), bytes(1024) + b"garbage" * 200):
        assert len(read(data + end)) == 1
    assert len(read(data[: 512 + 10])) == 1
    assert read(b"") == read(bytes(1024)) == []


BAD = {
    "cut header": archive(({"name": "a"}, b""))[:100],
    "cut content": archive(({"name": "a"}, b"x" * 600))[:1100],
    "cut extension": pax(record(b"uid=9"))[:700],
    "nothing after an extension": pax(record(b"uid=9"))[:1024],
    "one zero block": archive(({"name": "a"}, b""))[:512] + bytes(512) + b"x" * 512,
    "no tar": b"x" * 512,
    "checksum": archive(({"name": "a"}, b""))[:511] + b"x",
    "sparse": tar.encode_header(Header(b"a", b"S")),
    "pax sparse": pax(record(b"GNU.sparse.major=1")),
    "volume": tar.encode_header(Header(b"a", b"M")),
    "huge extension": tar.encode_header(Header(b"a", b"x", size=8 << 20)),
    "huge name": tar.encode_header(Header(b"a", b"L", size=2 << 20)),
    "long name": pax(record(b"path=" + b"n" * 4096)),
    "negative size": pax(record(b"size=-1")),
    "size of 2^63": pax(record(b"size=9223372036854775808")),
    "size with too many digits": pax(record(b"size=" + b"9" * 99)),
    "uid of chown's no-change": pax(record(b"uid=4294967295")),
    "uid that wraps": pax(record(b"uid=4294967296")),
    "time": pax(record(b"mtime=1.x")),
    "record without equals": pax(record(b"uid")),
    "record without key": pax(record(b"=x")),
    "record length": pax(b"99 uid=1\n"),
    "record length 0": pax(b"0 uid=1\n"),
    "record length with sign": pax(b"+9 uid=1\n"),
    "record without newline": pax(b"9 uid=12x"),
    "NUL in a path": pax(record(b"path=a\0b")),
    "NUL in a key": pax(record(b"a\0b=cd")),
    "octal 8": archive(({"name": "a"}, b""))[:512].replace(b"0000644", b"0000648"),
    "device": tar.encode_header(Header(b"a", tar.CHARACTER, major=5000)),
}


def test_the_good_twins_of_bad_records_pass() -> None:
    """What makes the records above bad is what is bad about them, not their form."""
    good = [b"path=" + b"n" * 4095, b"uid=4294967294", b"mtime=1.5", b"uid=1", b"a=cd", b"path=b"]
    for text in good:
        assert len(read(pax(record(text)))) == 1


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_bad_streams_are_refused(name: str, step: int) -> None:
    """With a ProtocolError, whatever is wrong and however it arrives."""
    data = BAD[name]
    if name == "octal 8":  # everything else in order
        block = bytearray(data)
        block[148:156] = b"        "
        block[148:156] = b"%06o\0 " % sum(block)
        data = bytes(block)
    with pytest.raises(ProtocolError):
        read(data, step)


@pytest.mark.parametrize("number", [b"0o00644\0", b"0_00644\0", b"-000644\0", b"+000644\0"])
def test_numbers_are_digits_only(number: bytes) -> None:
    """int() would take more than tar does."""
    block = bytearray(tar.encode_header(Header(b"a")))
    block[100:108] = number[:8]
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(ProtocolError, match="invalid tar header"):
        read(bytes(block))


def test_header_bombs_are_cheap() -> None:
    """A million records, and endless extensions without an entry, end quickly and in one error."""
    start = time.process_time()
    with pytest.raises(ProtocolError, match="header field too long"):
        read(pax(b"6 a=b\n" * 170_000))
    extensions = pax(b"6 a=b\n")[:1024] * 20_000
    with pytest.raises(ProtocolError):
        read(extensions)
    # Byte by byte, a buffer that is copied again for every byte would take hours.
    reader = TarReader()
    payload = pax(record(b"comment=" + b"c" * 300_000))
    entries = [e for i in range(len(payload)) for e in reader.feed(payload[i : i + 1])]
    assert [type(entry).__name__ for entry in entries] == ["Header", "End"]
    assert time.process_time() - start < 5


names = st.text(alphabet="ab/.é\udcff", min_size=1, max_size=260).filter(
    lambda name: bool(name.strip("/")) and not name.endswith("/")
)


@given(
    st.lists(
        st.tuples(
            st.fixed_dictionaries(
                {
                    "name": names,
                    "type": st.sampled_from(list(TYPES)),
                    "linkname": st.text(alphabet="ab/.", max_size=150),
                    "mode": st.integers(0, 0o7777),
                    "uid": st.integers(0, 2**32 - 2),
                    "gid": st.integers(0, 2**21),
                    "mtime": st.integers(0, 2**33),
                }
            ),
            st.binary(max_size=1100),
        ),
        max_size=4,
    ),
    st.integers(1, 600),
)
@settings(max_examples=100, deadline=None)
def test_agrees_with_tarfile(members: list[tuple[dict[str, Any], bytes]], step: int) -> None:
    """Whatever tarfile writes, both read the same."""
    members = [(m, body if m["type"] in tarfile.REGULAR_TYPES else b"") for m, body in members]
    data = archive(*members)
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        expected = [
            (i.name, TYPES[i.type], i.mode, i.uid, i.gid, i.mtime, i.size)
            for i in file.getmembers()
        ]
    found = [
        (
            header.name.decode("utf-8", "surrogateescape").rstrip("/"),
            header.type,
            *(header.mode, header.uid, header.gid, header.mtime_ns / 10**9, header.size),
        )
        for header, _ in read(data, step)
    ]
    assert found == expected


@given(st.integers(0, 2**32), st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_mutations_never_crash(seed: int, count: int) -> None:
    """Broken archives give entries or a ProtocolError, nothing else, and the same in one piece and in many."""
    dice = random.Random(seed)
    data = bytearray(archive(*MEMBERS))
    for _ in range(count):
        at = dice.randrange(len(data))
        if dice.random() < 0.3:  # fix the checksum up, so that more than the checksum is tested
            at -= at % 512
            block = data[at : at + 512]
            block[dice.randrange(157)] = dice.randrange(256)
            block[148:156] = b"        "
            block[148:156] = b"%06o\0 " % sum(block)
            data[at : at + 512] = block
        else:
            data[at] = dice.randrange(256)

    def outcome(step: int) -> object:
        try:
            return [(repr(header), header.mode, body) for header, body in read(bytes(data), step)]
        except ProtocolError as error:
            return str(error)

    assert outcome(1 << 20) == outcome(dice.randrange(1, 700))
