"""`--platform` in the form that the API takes: `os/architecture[/variant]`, common synonyms replaced."""

from __future__ import annotations

import os

from sampan.spec.goquote import go_quote

_SYSTEMS_WORDS = """\
aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9
solaris windows zos
"""
_SYSTEMS = frozenset(_SYSTEMS_WORDS.split())
_ARCHITECTURES_WORDS = """\
386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32
mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm
"""
_ARCHITECTURES = frozenset(_ARCHITECTURES_WORDS.split())
_SYNONYMS = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
_PATTERN = "^[A-Za-z0-9_.-]+$"
_OS_PATTERN = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$"


def normalize(text: str) -> str:
    """Raises ValueError with containerd's text."""
    parts = text.split("/")
    if len(parts) > 3:
        raise ValueError(f"{go_quote(text)}: cannot parse platform specifier: invalid argument")
    for index, part in enumerate(parts):
        _check(part, text, first=index == 0)
    if len(parts) == 1:
        return _one_part(parts[0], text)
    system = _system(parts[0])
    architecture, variant = _architecture(parts[1], parts[2] if len(parts) == 3 else "")
    if len(parts) == 3 and architecture == "arm64" and not variant:
        variant = "v8"
    if len(parts) == 2 and (architecture, variant) == ("arm", "v7"):
        variant = ""
    return _join(system, architecture, variant)


def _one_part(part: str, text: str) -> str:
    system = _system(part)
    if system in _SYSTEMS:
        architecture, variant = _architecture(os.uname().machine, "")
        return _join(
            system, architecture, "" if (architecture, variant) == ("arm", "v7") else variant
        )
    architecture, variant = _architecture(part, "")
    if architecture in _ARCHITECTURES:
        return _join(
            "linux", architecture, "" if (architecture, variant) == ("arm", "v7") else variant
        )
    raise ValueError(
        f"{go_quote(text)}: unknown operating system or architecture: invalid argument"
    )


def _check(part: str, text: str, *, first: bool) -> None:
    if part and _CHARACTERS.issuperset(part):
        return
    if first:
        name, parenthesis, version = part.partition("(")
        closed = version.endswith(")") and _CHARACTERS.issuperset(version[:-1])
        if name and _CHARACTERS.issuperset(name) and parenthesis and closed:
            return
        what, kind, pattern = "an invalid OS component", "OSAndVersion specifier", _OS_PATTERN
    else:
        what, kind, pattern = "an invalid component", "platform specifier", _PATTERN
    raise ValueError(
        f"{go_quote(part)} is {what} of {go_quote(text)}: {kind} component must match "
        f"{go_quote(pattern)}: invalid argument"
    )


def _system(text: str) -> str:
    lower = text.lower()
    return "darwin" if lower == "macos" else lower


def _architecture(text: str, variant: str) -> tuple[str, str]:
    lower, variant = text.lower(), variant.lower()
    architecture, implied = _SYNONYMS.get(lower, (lower, variant))
    if lower in ("armhf", "armel", "i386"):
        return architecture, implied
    if architecture == "amd64" and variant == "v1":
        return architecture, ""
    if architecture == "arm64" and variant in ("8", "v8"):
        return architecture, ""
    if architecture == "arm":
        return architecture, "v" + (variant.removeprefix("v") or "7")
    return architecture, variant


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)
