"""Platforms as image references and configs write them: `os[/architecture[/variant]]`.

Names are Go's (`amd64`, `arm64`); what `uname` and people say is translated, as containerd's
`platforms` package does it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from sampan.errors import InvalidParameter

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
}
_KNOWN = frozenset(
    [
        "386",
        "amd64",
        "arm",
        "arm64",
        "loong64",
        "mips",
        "mips64",
        "mips64le",
        "mipsle",
        "ppc64",
        "ppc64le",
        "riscv64",
        "s390x",
    ]
)
_TEXT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Platform(NamedTuple):
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)

    def runs(self, other: Platform) -> bool:
        """Whether a host of this platform runs images of `other`; unknown variants are taken."""
        return (self.os, self.architecture) == (other.os, other.architecture) and (
            not self.variant or not other.variant or other.variant <= self.variant
        )


def host() -> Platform:
    machine = os.uname().machine
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def parse(text: str) -> Platform:
    """The platform that `text` means; a lone part is an operating system or an architecture.

    Raises InvalidParameter with containerd's texts.
    """
    parts = text.split("/")
    if len(parts) > 3:
        raise InvalidParameter(f'"{text}": cannot parse platform specifier: invalid argument')
    if not all(part and _TEXT.issuperset(part) for part in parts):
        raise InvalidParameter(
            f'"{text}": unknown operating system or architecture: invalid argument'
        )
    parts = [part.lower() for part in parts]
    if len(parts) == 1:
        if parts[0] in ("linux", "windows", "darwin", "freebsd"):
            return host()._replace(os=parts[0])
        architecture, variant = normalise(parts[0], "")
        if architecture not in _KNOWN:
            raise InvalidParameter(
                f'"{text}": unknown operating system or architecture: invalid argument'
            )
        return Platform("linux", architecture, variant)
    return Platform(parts[0], *normalise(parts[1], parts[2] if len(parts) == 3 else ""))


def normalise(architecture: str, variant: str) -> tuple[str, str]:
    """Go's name of an architecture, and its variant without those that every host has."""
    known, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
    variant = variant or implied
    if (known, variant) in (("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")):
        variant = ""
    return known, f"v{variant}" if known == "arm" and variant.isdigit() else variant
