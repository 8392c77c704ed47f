"""Verifies the words of mounts: attributes, propagation, binds, and what is left for the file system."""

from __future__ import annotations

import pytest

from sampan.linux import constants as c
from sampan.runtime.options import MountOptions, parse_options, parse_propagation

RO, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
ATIME = c.MOUNT_ATTR__ATIME


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", MountOptions()),
        ("ro nosuid nodev noexec", MountOptions(attr_set=RO | NOSUID | NODEV | NOEXEC)),
        ("rw suid", MountOptions(attr_clr=RO | NOSUID)),
        ("ro rw", MountOptions(attr_clr=RO)),
        ("rw ro", MountOptions(attr_set=RO)),
        ("noatime", MountOptions(attr_set=c.MOUNT_ATTR_NOATIME, attr_clr=ATIME)),
        ("noatime strictatime", MountOptions(attr_set=c.MOUNT_ATTR_STRICTATIME, attr_clr=ATIME)),
        ("noatime relatime", MountOptions(attr_set=0, attr_clr=ATIME)),
        ("rro rnosuid", MountOptions(recursive_set=RO | NOSUID)),
        ("rrw", MountOptions(recursive_clr=RO)),
        ("ro rrw", MountOptions(attr_set=RO, recursive_clr=RO)),
        ("bind", MountOptions(bind=True)),
        ("rbind rprivate", MountOptions(bind=True, recursive=True, propagation=c.MS_PRIVATE,
                                        propagation_recursive=True)),
        ("slave", MountOptions(propagation=c.MS_SLAVE)),
        ("shared rslave", MountOptions(propagation=c.MS_SLAVE, propagation_recursive=True)),
        ("mode=755 size=64m sync", MountOptions(data=("mode=755", "size=64m", "sync"))),
        ("defaults async loud remount", MountOptions()),
    ],
)  # fmt: skip
def test_words(words: str, expected: MountOptions) -> None:
    assert parse_options(words.split()) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("rshared", (c.MS_SHARED, True)),
        ("unbindable", (c.MS_UNBINDABLE, False)),
        ("ro", None),
        ("private ", None),
        ("rrprivate", None),
    ],
)
def test_propagation(word: str, expected: tuple[int, bool] | None) -> None:
    assert parse_propagation(word) == expected


@pytest.mark.parametrize(("words", "expected"), [("ro", True), ("rro", True), ("rw", False)])
def test_read_only(words: str, expected: bool) -> None:
    assert parse_options(words.split()).read_only is expected
