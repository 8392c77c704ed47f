"""Tar streams without files: bytes in, events out; and headers back into bytes.

    reader = TarReader()
    for event in reader.feed(chunk):   # Header, then its content as memoryviews, then END
        …
    reader.close()                     # raises when the stream stopped in the middle

Read: V7, ustar, GNU (long names and links, base-256 numbers) and pax (extended headers, local and global,
`SCHILY.xattr.`); refused: sparse files, multiple volumes. Written: ustar, with a pax header where needed.
What comes from outside is bounded: the content of an extended header, its records, the length of a name.
A memoryview is valid until the next event is asked for. Time is linear in the length of the stream, however
it is cut. Every fault of the stream is a ProtocolError. Out of scope: what names mean (`..`, whiteouts).
Sources: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Standard"; Go's archive/tar, whose
tolerances decide where the two leave room, since images are made and read with it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from sampan.errors import ProtocolError

BLOCK: Final = 512
EXTENSION_LIMIT: Final = 1 << 20  # bytes of one extended header, as Go's maxSpecialFileSize
RECORD_LIMIT: Final = 4096  # records of one extended header
NAME_LIMIT: Final = 4095  # PATH_MAX without its NUL
SIZE_LIMIT: Final = 1 << 62

FILE: Final = b"0"
LINK: Final = b"1"
SYMLINK: Final = b"2"
CHARACTER: Final = b"3"
BLOCK_DEVICE: Final = b"4"
DIRECTORY: Final = b"5"
FIFO: Final = b"6"

_PAX = (b"x", b"X")
_PAX_GLOBAL = b"g"
_GNU_NAME = b"L"
_GNU_LINK = b"K"
_EXTENSIONS = frozenset((*_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK))
_HEADER_ONLY = frozenset((LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_UNSUPPORTED = {b"S": "sparse files", b"M": "several volumes", b"V": "volume labels"}
_XATTR = b"SCHILY.xattr."

# Go's words, which Docker passes on.
_INVALID = "archive/tar: invalid tar header"
_TOO_LONG = "archive/tar: header field too long"
_CUT = "unexpected EOF"

# name mode uid gid size mtime checksum type linkname magic+version uname gname major minor prefix
_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZERO = bytes(BLOCK)
_ID_LIMIT = (1 << 32) - 2  # one more is "unchanged" to chown(2)
_MEMO_LIMIT = 4096


class End:
    """The current entry is complete."""


END: Final = End()


class Header:
    """One entry. `name` and `linkname` are as they stand there, not yet trusted."""

    __slots__ = (
        "gid",
        "gname",
        "linkname",
        "major",
        "minor",
        "mode",
        "mtime_ns",
        "name",
        "size",
        "type",
        "uid",
        "uname",
        "xattrs",
    )

    def __init__(
        self,
        name: bytes,
        type: bytes = FILE,
        *,
        size: int = 0,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime_ns: int = 0,
        linkname: bytes = b"",
        uname: bytes = b"",
        gname: bytes = b"",
        major: int = 0,
        minor: int = 0,
        xattrs: dict[bytes, bytes] | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.size = size  # bytes of content that follow
        self.mode = mode  # permission bits with setuid, setgid and sticky
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.linkname = linkname
        self.uname = uname
        self.gname = gname
        self.major = major
        self.minor = minor
        self.xattrs = xattrs  # None when there are none

    def __repr__(self) -> str:
        return f"<tar {self.type.decode('latin-1')} {self.name!r} {self.size}>"


Event = Header | memoryview | End


class TarReader:
    def __init__(self) -> None:
        self.finished = False  # the end-of-archive mark was seen; what follows is ignored
        self._partial = b""
        self._left = 0  # bytes of content still to come
        self._padding = 0
        self._zeros = 0
        self._extension: bytearray | None = None
        self._extension_type = b""
        self._global: dict[bytes, bytes] = {}
        self._local: dict[bytes, bytes] = {}
        self._long_name: bytes | None = None
        self._long_link: bytes | None = None
        self._numbers: dict[bytes, int] = {}

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that `data` completes. Consume them all before the next call."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        view = memoryview(data)
        at, end = 0, len(data)
        while not self.finished:
            if self._left:
                piece = view[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if self._extension is not None:
                    self._extension += piece
                elif piece:
                    yield piece
                if self._left:
                    return
                if self._extension is not None:
                    self._end_extension()
                else:
                    yield END
            if self._padding:
                skip = min(self._padding, end - at)
                at += skip
                self._padding -= skip
            if end - at < BLOCK:
                self._partial = data[at:]
                return
            block = data[at : at + BLOCK]
            at += BLOCK
            header = self._block(block)
            if header is not None:
                yield header
                if not self._left:
                    yield END

    def close(self) -> None:
        """The stream has ended. Raises ProtocolError when it should not have, as Go decides that:
        the end mark and the last padding may be missing."""
        if self.finished:
            return
        if self._left or self._partial or self._extension is not None or self._has_extensions():
            raise ProtocolError(_CUT)

    def _has_extensions(self) -> bool:
        return bool(self._local) or self._long_name is not None or self._long_link is not None

    def _block(self, block: bytes) -> Header | None:
        """The entry that the block begins, or None when it is an extension or the end."""
        if block == _ZERO:
            self._zeros += 1
            self.finished = self._zeros == 2
            return None
        if self._zeros:
            raise ProtocolError(_INVALID)
        fields = _FIELDS.unpack(block)
        if not _checksum_ok(block, _parse_number(fields[6])):
            raise ProtocolError(_INVALID)
        kind = fields[7]
        size = _parse_number(fields[4])
        if kind in _EXTENSIONS:
            self._begin_extension(kind, size)
            return None
        if kind in _UNSUPPORTED:
            raise ProtocolError(f"tar archives with {_UNSUPPORTED[kind]} are not supported")
        header = self._header(fields, kind, size)
        if self._global or self._local:
            self._apply_records(header)
        if self._long_name is not None:
            header.name = self._long_name
        if self._long_link is not None:
            header.linkname = self._long_link
        if self._has_extensions():
            self._local, self._long_name, self._long_link = {}, None, None
        self._begin_content(header)
        return header

    def _header(self, fields: tuple[bytes, ...], kind: bytes, size: int) -> Header:
        name = _text(fields[0])
        if fields[9] == b"ustar\x0000" and fields[14][0]:
            name = _text(fields[14]) + b"/" + name
        header = Header(name, kind, size=size)
        number = self._number
        header.mode = number(fields[1]) & 0o7777
        header.uid = number(fields[2])
        header.gid = number(fields[3])
        header.mtime_ns = number(fields[5]) * 1_000_000_000
        header.linkname = _text(fields[8])
        if fields[9].startswith(b"ustar"):
            header.uname = _text(fields[10])
            header.gname = _text(fields[11])
            if kind in (CHARACTER, BLOCK_DEVICE):
                header.major = number(fields[12])
                header.minor = number(fields[13])
        return header

    def _begin_content(self, header: Header) -> None:
        """Check what the header has become, and expect its content."""
        if header.type == b"\0":
            header.type = DIRECTORY if header.name.endswith(b"/") else FILE  # as V7 wrote them
        elif header.type == b"7":
            header.type = FILE
        if header.type in _HEADER_ONLY:
            header.size = 0
        if len(header.name) > NAME_LIMIT or len(header.linkname) > NAME_LIMIT:
            raise ProtocolError("file name too long in the tar archive")
        if not 0 <= header.size < SIZE_LIMIT:
            raise ProtocolError(f"invalid size {header.size} in the tar archive")
        if not (0 <= header.uid <= _ID_LIMIT and 0 <= header.gid <= _ID_LIMIT):
            raise ProtocolError(f"invalid owner {header.uid}:{header.gid} in the tar archive")
        if not (0 <= header.major < 1 << 12 and 0 <= header.minor < 1 << 20):
            raise ProtocolError(f"invalid device {header.major}:{header.minor} in the tar archive")
        self._left = header.size
        self._padding = -header.size % BLOCK

    def _begin_extension(self, kind: bytes, size: int) -> None:
        if not 0 <= size <= EXTENSION_LIMIT:
            raise ProtocolError(_TOO_LONG)
        self._extension_type = kind
        self._extension = bytearray()
        self._left = size
        self._padding = -size % BLOCK
        if not size:
            self._end_extension()

    def _end_extension(self) -> None:
        data = bytes(self._extension or b"")
        self._extension = None
        if self._extension_type == _GNU_NAME:
            self._long_name = _text(data)
        elif self._extension_type == _GNU_LINK:
            self._long_link = _text(data)
        elif self._extension_type == _PAX_GLOBAL:
            self._global |= _records(data)
            if len(self._global) > RECORD_LIMIT:
                raise ProtocolError(_TOO_LONG)
        else:
            self._local = _records(data)

    def _apply_records(self, header: Header) -> None:
        xattrs: dict[bytes, bytes] = {}
        for key, value in (self._global | self._local).items():
            if key.startswith(_XATTR):
                xattrs[key[len(_XATTR) :]] = value
            elif key.startswith(b"GNU.sparse."):
                raise ProtocolError("tar archives with sparse files are not supported")
            elif value:  # an empty one takes a global record back
                _apply_record(header, key, value)
        header.xattrs = xattrs or None

    def _number(self, field: bytes) -> int:
        """An octal or base-256 field. Memoised: owners, modes and times repeat in an archive."""
        value = self._numbers.get(field)
        if value is None:
            value = _parse_number(field)
            if len(self._numbers) >= _MEMO_LIMIT:
                self._numbers.clear()
            self._numbers[field] = value
        return value


def _checksum_ok(block: bytes, expected: int) -> bool:
    # Adler-32's low half is 1 + the sum of the bytes, modulo 65521: the sum at the speed of C.
    blank = block[:148] + b"        " + block[156:]
    if 0 <= expected <= 255 * BLOCK and (1 + expected) % 65521 == zlib.adler32(blank) & 0xFFFF:
        return True
    # Some old programs added signed bytes.
    return expected == sum(byte - 256 if byte > 127 else byte for byte in blank)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _parse_number(field: bytes) -> int:
    if field[0] & 0x80:  # base-256, GNU: two's complement without the mark bit
        value = int.from_bytes(field, "big") & ~(1 << (8 * len(field) - 1))
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if not -(1 << 62) < value < 1 << 62:
            raise ProtocolError(_INVALID)
        return value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    try:
        if digits.isdigit():  # int() alone would take "0o7", "1_0" and "-1"
            return int(digits, 8)
    except ValueError:
        pass
    raise ProtocolError(_INVALID)


def _records(data: bytes) -> dict[bytes, bytes]:
    """`LENGTH KEY=VALUE\\n`, one after another; the length counts itself."""
    records: dict[bytes, bytes] = {}
    at = count = 0
    while at < len(data):
        space = data.find(b" ", at, at + 8)
        length = data[at:space] if space > at else b""
        end = at + int(length) if length.isdigit() else 0
        equals = data.find(b"=", space, end)
        if not (space < equals < end <= len(data)) or data[end - 1] != 0x0A:
            raise ProtocolError(_INVALID)
        key, value = data[space + 1 : equals], data[equals + 1 : end - 1]
        if not key or b"\0" in key or (b"\0" in value and not key.startswith(_XATTR)):
            raise ProtocolError(_INVALID)
        count += 1
        if count > RECORD_LIMIT:
            raise ProtocolError(_TOO_LONG)
        records[key] = value
        at = end
    return records


def _apply_record(header: Header, key: bytes, value: bytes) -> None:
    if key == b"path":
        header.name = value
    elif key == b"linkpath":
        header.linkname = value
    elif key == b"mtime":
        header.mtime_ns = _parse_time(value)
    elif key == b"size":
        header.size = _decimal(value)
    elif key == b"uid":
        header.uid = _decimal(value)
    elif key == b"gid":
        header.gid = _decimal(value)
    elif key == b"uname":
        header.uname = value
    elif key == b"gname":
        header.gname = value


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19:
        raise ProtocolError(_INVALID)
    return int(value)


def _parse_time(value: bytes) -> int:
    """Decimal seconds with a fraction, in nanoseconds; digits beyond those are cut."""
    seconds, _, fraction = value.removeprefix(b"-").partition(b".")
    if not seconds.isdigit() or len(seconds) > 12 or (fraction and not fraction.isdigit()):
        raise ProtocolError(_INVALID)
    total = int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0") or 0)
    return -total if value.startswith(b"-") else total


def encode_header(header: Header) -> bytes:
    """The blocks that begin an entry: ustar, after a pax header when ustar cannot hold it.

    The content follows, then `padding(header.size)`; an archive ends with `END_OF_ARCHIVE`.
    """
    records: list[tuple[bytes, bytes]] = []
    name, prefix = _split_name(header.name)
    if prefix is None:
        records.append((b"path", header.name))
        name, prefix = header.name[:100], b""
    link = header.linkname
    if len(link) > 100:
        records.append((b"linkpath", link))
        link = link[:100]
    size, uid, gid = header.size, header.uid, header.gid
    for key, number, digits in ((b"size", size, 11), (b"uid", uid, 7), (b"gid", gid, 7)):
        if number >= 8**digits:
            records.append((key, b"%d" % number))
    seconds, nanoseconds = divmod(header.mtime_ns, 1_000_000_000)
    if nanoseconds or not 0 <= seconds < 8**11:
        records.append((b"mtime", _format_time(header.mtime_ns)))
    for key, value in sorted((header.xattrs or {}).items()):
        records.append((_XATTR + key, value))
    block = _ustar(
        header.type,
        name=name,
        prefix=prefix,
        link=link,
        mode=header.mode,
        owner=(uid if uid < 8**7 else 0, gid if gid < 8**7 else 0),
        size=size if size < 8**11 else 0,
        mtime=seconds if 0 <= seconds < 8**11 else 0,
        names=(header.uname[:31], header.gname[:31]),
        device=(header.major, header.minor),
    )
    return _pax_header(records) + block if records else block


def padding(size: int) -> bytes:
    """The zeros after content of `size` bytes."""
    return bytes(-size % BLOCK)


END_OF_ARCHIVE: Final = bytes(2 * BLOCK)


def _split_name(name: bytes) -> tuple[bytes, bytes | None]:
    """ustar's name and prefix; prefix None when it does not fit."""
    if len(name) <= 100:
        return name, b""
    slash = name.find(b"/", len(name) - 101, len(name) - 1)
    if 0 < slash <= 155:
        return name[slash + 1 :], name[:slash]
    return name, None


def _pax_header(records: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(_record(key, value) for key, value in records)
    block = _ustar(
        b"x",
        name=b"PaxHeaders.0/entry",
        prefix=b"",
        link=b"",
        mode=0o644,
        owner=(0, 0),
        size=len(body),
        mtime=0,
        names=(b"", b""),
        device=(0, 0),
    )
    return block + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d" % length + rest


def _format_time(mtime_ns: int) -> bytes:
    seconds, nanoseconds = divmod(abs(mtime_ns), 1_000_000_000)
    text = b"%d.%09d" % (seconds, nanoseconds)
    return (b"-" if mtime_ns < 0 else b"") + text.rstrip(b"0").rstrip(b".")


def _ustar(
    kind: bytes,
    *,
    name: bytes,
    prefix: bytes,
    link: bytes,
    mode: int,
    owner: tuple[int, int],
    size: int,
    mtime: int,
    names: tuple[bytes, bytes],
    device: tuple[int, int],
) -> bytes:
    block = bytearray(
        _FIELDS.pack(
            name,
            b"%07o\0" % (mode & 0o7777),
            b"%07o\0" % owner[0],
            b"%07o\0" % owner[1],
            b"%011o\0" % size,
            b"%011o\0" % mtime,
            b"        ",
            kind,
            link,
            b"ustar\x0000",
            names[0],
            names[1],
            b"%07o\0" % device[0],
            b"%07o\0" % device[1],
            prefix,
        )
    )
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
