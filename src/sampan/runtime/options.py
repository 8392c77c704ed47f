"""Words of mount(8) and the runtime-spec (config.md, "Linux mount options") → what the kernel's calls take."""

from __future__ import annotations

from sampan.linux import constants as c
from sampan.spec.record import dataclass
from sampan.spec.typing import Iterable

# word → (attributes to set, attributes to clear)
_ATTRIBUTES: dict[str, tuple[int, int]] = {
    "ro": (c.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, c.MOUNT_ATTR_RDONLY),
    "nosuid": (c.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, c.MOUNT_ATTR_NOSUID),
    "nodev": (c.MOUNT_ATTR_NODEV, 0),
    "dev": (0, c.MOUNT_ATTR_NODEV),
    "noexec": (c.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, c.MOUNT_ATTR_NOEXEC),
    "nosymfollow": (c.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, c.MOUNT_ATTR_NOSYMFOLLOW),
    "nodiratime": (c.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, c.MOUNT_ATTR_NODIRATIME),
    # The modes of atime are one field: to set one is to clear the field first.
    "relatime": (c.MOUNT_ATTR_RELATIME, c.MOUNT_ATTR__ATIME),
    "noatime": (c.MOUNT_ATTR_NOATIME, c.MOUNT_ATTR__ATIME),
    "strictatime": (c.MOUNT_ATTR_STRICTATIME, c.MOUNT_ATTR__ATIME),
    "atime": (c.MOUNT_ATTR_RELATIME, c.MOUNT_ATTR__ATIME),
    "norelatime": (c.MOUNT_ATTR_STRICTATIME, c.MOUNT_ATTR__ATIME),
    "nostrictatime": (c.MOUNT_ATTR_RELATIME, c.MOUNT_ATTR__ATIME),
}
_PROPAGATION = {
    "private": c.MS_PRIVATE,
    "slave": c.MS_SLAVE,
    "shared": c.MS_SHARED,
    "unbindable": c.MS_UNBINDABLE,
}
_EXTENSIONS = ("tmpcopyup", "idmap", "ridmap")
_FILE_SYSTEM_FLAGS = frozenset(["sync", "dirsync", "lazytime", "mand"])
_IGNORED = frozenset(
    [
        *("defaults", "async", "nomand", "nolazytime", "loud", "silent", "remount", "acl", "noacl"),
        *("iversion", "noiversion"),
    ]
)


@dataclass(frozen=True, slots=True)
class MountOptions:
    attr_set: int = 0
    attr_clr: int = 0
    recursive_set: int = 0
    recursive_clr: int = 0
    propagation: int = 0
    propagation_recursive: bool = False
    bind: bool = False
    recursive: bool = False
    idmap: str = ""  # "idmap", or "ridmap" for what is mounted below too
    copy_up: bool = False  # a tmpfs begins with what the image has in its place
    data: tuple[str, ...] = ()  # for the file system itself: "size=64m", "sync"

    @property
    def read_only(self) -> bool:
        return bool((self.attr_set | self.recursive_set) & c.MOUNT_ATTR_RDONLY)


def parse_propagation(word: str) -> tuple[int, bool] | None:
    """`(MS_… flag, recursive)` of "rslave" and the like; None when it is not such a word."""
    if word in _PROPAGATION:
        return _PROPAGATION[word], False
    if word[:1] == "r" and word[1:] in _PROPAGATION:
        return _PROPAGATION[word[1:]], True
    return None


def _apply(attributes: tuple[int, int], word: tuple[int, int]) -> tuple[int, int]:
    """A later word wins over an earlier one."""
    set_, clear = attributes
    return (set_ & ~(word[1] | word[0])) | word[0], (clear & ~word[0]) | word[1]


def parse_options(words: Iterable[str]) -> MountOptions:
    own = recursive = (0, 0)
    propagation, propagation_recursive = 0, False
    bind = rbind = copy_up = False
    idmap = ""
    data: list[str] = []
    for word in words:
        if word in _ATTRIBUTES:
            own = _apply(own, _ATTRIBUTES[word])
        elif word[:1] == "r" and word[1:] in _ATTRIBUTES:
            recursive = _apply(recursive, _ATTRIBUTES[word[1:]])
        elif (kind := parse_propagation(word)) is not None:
            propagation, propagation_recursive = kind
        elif word in ("bind", "rbind"):
            bind, rbind = True, word == "rbind"
        elif word in ("idmap", "ridmap"):
            idmap = word
        elif word == "tmpcopyup":
            copy_up = True
        elif word not in _IGNORED:
            data.append(word)
    return MountOptions(
        *own,
        *recursive,
        propagation,
        propagation_recursive,
        bind,
        rbind,
        idmap,
        copy_up,
        tuple(data),
    )


def mount_words() -> list[str]:
    """All that `parse_options` knows, for `features`."""
    plain = [*_ATTRIBUTES, *_PROPAGATION]
    return sorted(
        [*plain, *(f"r{word}" for word in plain), "bind", "rbind", *_IGNORED, *_EXTENSIONS]
    )


def is_flag(option: str) -> bool:
    """Whether the kernel takes this file system option without a value."""
    return option in _FILE_SYSTEM_FLAGS or "=" not in option
