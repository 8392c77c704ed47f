"""tmpfs mounts: Docker's option text for `--tmpfs`, and `--mount type=tmpfs`."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.errors import InvalidParameter
from sampan.spec.container import TmpfsOptions
from sampan.spec.mount import Mount

_DEFAULTS = ("noexec", "nosuid", "nodev", "rprivate")
_KEYS = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")

# Words that speak about the same thing: of several the last one counts.
_WORDS = {
    word: subject
    for subject, words in {
        "rdonly": ("ro", "rw"),
        "nosuid": ("suid", "nosuid"),
        "nodev": ("dev", "nodev"),
        "noexec": ("exec", "noexec"),
        "synchronous": ("sync", "async"),
        "dirsync": ("dirsync",),
        "mandlock": ("mand", "nomand"),
        "noatime": ("atime", "noatime"),
        "nodiratime": ("diratime", "nodiratime"),
        "relatime": ("relatime", "norelatime"),
        "strictatime": ("strictatime", "nostrictatime"),
        "defaults": ("defaults",),
        "propagation": ("private", "rprivate", "shared", "rshared", "slave", "rslave"),
        "unbindable": ("unbindable", "runbindable"),
    }.items()
    for word in words
}


def tmpfs_mount(destination: str, options: str) -> Mount:
    """`--tmpfs DESTINATION:OPTIONS`. Raises `InvalidParameter` for an option that tmpfs lacks."""
    given = options.split(",") if options else []
    return Mount("tmpfs", "tmpfs", merge_options([*_DEFAULTS, *given]), destination)


def tmpfs_mount_of(
    destination: str, options: TmpfsOptions | None, *, read_only: bool = False
) -> Mount:
    """`--mount type=tmpfs`."""
    given = ["ro"] if read_only else []
    if options is not None:
        if options.mode:
            given.append(f"mode={options.mode:o}")
        if options.size_bytes:
            given.append(f"size={_size(options.size_bytes)}")
        given += ["=".join(pair) for pair in options.options or ()]
    return tmpfs_mount(destination, ",".join(given))


def _size(number: int) -> str:
    suffix = ""
    for letter in "kmg":
        if number % 1024:
            break
        number, suffix = number // 1024, letter
    return f"{number}{suffix}"


def merge_options(options: Iterable[str]) -> tuple[str, ...]:
    seen: set[str] = set()
    merged: list[str] = []
    for option in reversed(list(options)):
        subject = _subject(option)
        if subject not in seen:
            seen.add(subject)
            merged.append(option)
    return tuple(reversed(merged))


def _subject(option: str) -> str:
    if option in _WORDS:
        return _WORDS[option]
    key, equals, value = option.partition("=")
    if equals and key in _KEYS and not any(ord(letter) < 32 for letter in value):
        return key + "="
    quoted = " ".join(f'"{part}"' for part in option.split("=", 1))
    raise InvalidParameter(f"invalid tmpfs option [{quoted}]")
