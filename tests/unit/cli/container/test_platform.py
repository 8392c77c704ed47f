"""Platforms are normalized as containerd does."""

from __future__ import annotations

import os

import pytest

from sampan.cli.container.platform import normalize


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/amd64", "linux/amd64"),
        ("LINUX/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/arm64/v8"),
        ("arm64", "linux/arm64"),
        ("arm", "linux/arm"),
        ("linux/arm", "linux/arm"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("armhf", "linux/arm"),
        ("linux/armel", "linux/arm/v6"),
        ("i386", "linux/386"),
        ("macos/arm64", "darwin/arm64"),
        ("windows(10.0.1)/amd64", "windows(10.0.1)/amd64"),
        ("linux/foo", "linux/foo"),
    ],
)
def test_forms(text: str, shown: str) -> None:
    assert normalize(text) == shown


def test_a_system_alone_has_our_architecture() -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    assert normalize("linux") == f"linux/{machine}"


@pytest.mark.parametrize(
    "text", ["", "foo", "a/b/c/d", "linux/", "linux/a b", "a b", "linux()x/amd64", "/amd64"]
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid argument"):
        normalize(text)
