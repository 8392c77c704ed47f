"""Which ids `userns-remap` means, from the host's files; and what is made for `default`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.engine import remap
from sampan.engine.config import ConfigError
from sampan.engine.remap import Remap

FILES = {
    "passwd": "root:x:0:0::/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n",
    "group": "root:x:0:\nann:x:1001:\nstaff:x:50:ann\n",
    "subuid": "ann:100000:65536\n# a comment\nann:300000:10\nzero:0:5\nodd:7:x\n",
    "subgid": "ann:200000:65536\nstaff:400000:100\n",
}
UIDS = ((0, 100000, 65536), (65536, 300000, 10))


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", None),
        ("ann", Remap(UIDS, ((0, 200000, 65536),))),
        ("1000", Remap(UIDS, ((0, 200000, 65536),))),
        ("ann:staff", Remap(UIDS, ((0, 400000, 100),))),
        ("1000:50", Remap(UIDS, ((0, 400000, 100),))),
    ],
)
def test_names_and_ids(etc: Path, wanted: str, found: Remap | None) -> None:
    """Ranges of one name come one after the other."""
    if wanted == "1000":
        (etc / "group").write_text("ann:x:1000:\n")  # the same number stands for the group too
    assert remap.find(wanted, str(etc)) == found


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("bob", "Error during username lookup for 'bob': no such user"),
        ("ann:bob", "Error during groupname lookup for 'bob': no such group"),
        ("77", "User ID 77 has no entry"),
        ("root", "root cannot be remapped to itself"),
        ("ann:root", "no subgid ranges found for user 'root'"),
    ],
)
def test_refused(etc: Path, wanted: str, words: str) -> None:
    """Who is not there, or has no ids to give."""
    with pytest.raises(ConfigError, match=words):
        remap.find(wanted, str(etc))


@pytest.mark.parametrize("line", ["ann:0:65536", "ann:100:0", "ann:4294967295:2"])
def test_ranges_that_are_none(etc: Path, line: str) -> None:
    """The host's root is never in one, and numbers end at 2^32."""
    (etc / "subuid").write_text(line + "\n")
    with pytest.raises(ConfigError, match="invalid range"):
        remap.find("ann", str(etc))


def test_default_is_made_once(etc: Path) -> None:
    """User, group and ids that nobody else has, with what was there left as it was."""
    found = remap.find("default", str(etc))
    assert found == Remap(((0, 300010, 65536),), ((0, 400100, 65536),))
    passwd = (etc / "passwd").read_text()
    assert passwd == FILES["passwd"] + "dockremap:x:999:999::/home/dockremap:/bin/false\n"
    assert remap.find("default", str(etc)) == found
    assert (etc / "passwd").read_text() == passwd


def test_default_without_any_files(tmp_path: Path) -> None:
    """A host that has neither shadow's files nor its programs."""
    assert remap.find("default", str(tmp_path)) == Remap(
        ((0, 100000, 65536),), ((0, 100000, 65536),)
    )
