"""Platforms are spelled as Go spells them, whatever people write."""

from __future__ import annotations

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.platform import Platform, host, normalise, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/AArch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("arm64", "linux/arm64"),
        ("foo/bar", "foo/bar"),
    ],
)
def test_platforms_are_normalised(text: str, expected: str) -> None:
    """One spelling a platform."""
    assert str(parse(text)) == expected


@pytest.mark.parametrize("text", ["", "/", "a/b/c/d", "linux/", "what", "linux/a b", "linux/ä"])
def test_nonsense_is_refused(text: str) -> None:
    """With an error of the caller's."""
    with pytest.raises(InvalidParameter):
        parse(text)


def test_a_lone_system_is_this_machine() -> None:
    """`--platform linux` means what runs here."""
    assert parse("linux") == host()
    assert parse("windows").os == "windows"


def test_what_runs_where() -> None:
    """Variants below one's own run, other machines' do not."""
    arm = Platform("linux", "arm", "v7")
    assert arm.runs(Platform("linux", "arm", "v6"))
    assert not Platform("linux", "arm", "v6").runs(arm)
    assert arm.runs(Platform("linux", "arm"))
    assert not arm.runs(Platform("linux", "arm64"))
    assert normalise("amd64", "v1") == ("amd64", "")
