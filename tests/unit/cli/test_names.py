"""Names become paths and references, or docker's complaints."""

from __future__ import annotations

import pytest

from sampan.cli.failure import Failure
from sampan.cli.names import container_path, image_path, parse_image, parse_reference


def test_paths() -> None:
    assert container_path(" x ", "/json") == "/containers/x/json"
    assert container_path("a b?") == "/containers/a%20b%3F"
    assert (
        image_path("host:5000/a/b:c@sha256:d", "/json") == "/images/host:5000/a/b:c@sha256:d/json"
    )


@pytest.mark.parametrize("name", ["", "  "])
def test_no_name(name: str) -> None:
    with pytest.raises(Failure, match="invalid container name or ID: value is empty"):
        container_path(name)
    with pytest.raises(Failure, match="invalid image name or ID: value is empty"):
        image_path(name)


@pytest.mark.parametrize(
    ("text", "name", "tag"),
    [
        ("x", "docker.io/library/x", "latest"),
        ("a/b:1", "docker.io/a/b", "1"),
        ("host:5/x", "host:5/x", "latest"),
    ],
)
def test_references(text: str, name: str, tag: str) -> None:
    reference = parse_reference(text)
    assert (reference.name, reference.tag) == (name, tag)


@pytest.mark.parametrize(
    ("text", "repository"),
    [("BAD", "library/BAD"), ("a/BAD:x", "a/BAD"), ("host.io/BAD@x", "host.io/BAD")],
)
def test_capitals_are_shown(text: str, repository: str) -> None:
    with pytest.raises(Failure) as error:
        parse_reference(text)
    shown = repository.removeprefix("host.io/")
    assert (
        str(error.value) == f"invalid reference format: repository name ({shown}) must be lowercase"
    )


@pytest.mark.parametrize("text", ["a:b:c", "", "a b", "-x", "x@sha256:1"])
def test_no_references(text: str) -> None:
    with pytest.raises(Failure, match="invalid"):
        parse_reference(text)


def test_ids_are_no_references() -> None:
    assert parse_image("a" * 64) is None
    assert parse_image("sha256:" + "0" * 64) is None
    assert parse_image("abc") is not None
