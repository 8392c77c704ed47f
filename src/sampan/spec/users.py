"""Who a container's process is: `USER` against the image's passwd and group files.

Pure: the caller reads the files (in the container's root, size capped). Texts and rules are
dockerd's (moby/sys/user): a number is always an id, and a name that is no number must be found.
Stricter than that: a line of either file whose ids are not whole numbers within 0..2^31-1 does not
exist, whereas Go's parser takes garbage for 0, that is root.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sampan.errors import InvalidParameter

MAXIMUM_ID = (1 << 31) - 1
MAXIMUM_GROUPS = 65536  # NGROUPS_MAX
_INT64 = 1 << 63
_OUT_OF_RANGE = f"uids and gids must be in range 0-{MAXIMUM_ID}"


class User(NamedTuple):
    uid: int
    gid: int
    groups: tuple[int, ...]
    """For setgroups(2): the gid, the groups that name the user as a member, `group_add`; each once."""

    home: str


class _Account(NamedTuple):
    name: bytes
    uid: int
    gid: int
    home: bytes


def resolve(user: str, passwd: bytes, group: bytes, group_add: Iterable[str] = ()) -> User:
    """`user` is "", NAME, UID, NAME:GROUP, UID:GID, :GROUP. Raises `InvalidParameter`."""
    user_part, _, rest = user.partition(":")
    group_part = rest.partition(":")[0]
    account = _find_account(user_part, passwd)
    uid, gid, home = 0, 0, b"/"
    if account is not None:
        uid, gid, home = account.uid, account.gid, account.home
    elif user_part:
        number = parse_number(user_part)
        if number is None:
            raise InvalidParameter(
                f"unable to find user {user_part}: no matching entries in passwd file"
            )
        uid = _checked(number)
    members: list[int] = []
    if group_part:
        gid = _group_id(group_part, group, "unable to find group")
    elif account is not None:
        members = _memberships(account.name, group)
    added = [_group_id(name, group, "Unable to find group") for name in group_add]
    groups = tuple(dict.fromkeys((gid, *members, *added)))[:MAXIMUM_GROUPS]
    return User(uid, gid, groups, _text(home) or "/")


def parse_number(text: str) -> int | None:
    """A decimal number as Go's `strconv.Atoi` takes it (a sign, leading zeros, 64 bits); else None."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 64:
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None


def _checked(number: int) -> int:
    if not 0 <= number <= MAXIMUM_ID:
        raise InvalidParameter(_OUT_OF_RANGE)
    return number


def _find_account(user: str, passwd: bytes) -> _Account | None:
    wanted = parse_number(user) if user else 0
    name = _bytes(user)
    for account in _accounts(passwd):
        if account.uid == wanted if wanted is not None else account.name == name:
            return account
    return None


def _accounts(passwd: bytes) -> Iterator[_Account]:
    for line in _lines(passwd):
        fields = line.strip().split(b":", 7)
        if len(fields) < 4:
            continue
        uid, gid = _file_id(fields[2]), _file_id(fields[3])
        if uid is not None and gid is not None:
            yield _Account(fields[0], uid, gid, fields[5] if len(fields) > 5 else b"")


def _lines(data: bytes) -> Iterator[bytes]:
    """One at a time: a list of them would be many times as large as a hostile file."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        if end > start:
            yield data[start:end]
        start = end + 1


def _file_id(field: bytes) -> int | None:
    if not field.isdigit() or len(field) > 10:
        return None
    number = int(field)
    return number if number <= MAXIMUM_ID else None


def _groups(group: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    for line in _lines(group):
        fields = line.strip().split(b":", 4)
        if len(fields) < 3:
            continue
        gid = _file_id(fields[2])
        if gid is not None:
            yield fields[0], gid, fields[3] if len(fields) > 3 else b""


def _group_id(text: str, group: bytes, complaint: str) -> int:
    number = parse_number(text)
    if number is not None:
        return _checked(number)
    name = _bytes(text)
    for found, gid, _ in _groups(group):
        if found == name:
            return gid
    raise InvalidParameter(f"{complaint} {text}: no matching entries in group file")


def _memberships(name: bytes, group: bytes) -> list[int]:
    found = []
    for _, gid, members in _groups(group):
        # Not split: a line may list millions of members.
        if name in members and b",%b," % name in b",%b," % members:
            found.append(gid)
            if len(found) >= MAXIMUM_GROUPS:
                break
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
