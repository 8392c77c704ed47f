"""`--volume` is split into binds and anonymous volumes; `--mount` is in the recorded table."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.cli.container.mounts import parse_mount, parse_tmpfs, split_volumes


@pytest.mark.parametrize(
    ("text", "binds", "volumes"),
    [
        ("/a", None, {"/a": {}}),
        ("a:", None, {"a:": {}}),
        ("/a:/b", ["/a:/b"], {}),
        ("name:/b:ro", ["name:/b:ro"], {}),
        ("c:/x:/y", ["c:/x:/y"], {}),
        ("~/a:/b", ["~/a:/b"], {}),
    ],
)
def test_volumes(text: str, binds: list[str] | None, volumes: dict[str, object]) -> None:
    assert split_volumes([text, text]) == (binds, volumes)


def test_relative_paths_are_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_volumes(["./a/../b:/x", ".:/y:ro", ".hidden:/z"])[0] == [
        f"{tmp_path}/b:/x",
        f"{tmp_path}:/y:ro",
        f"{tmp_path}/.hidden:/z",
    ]
    assert parse_mount("type=bind,src=.,dst=/x")["Source"] == str(tmp_path)
    assert parse_mount("src=.name,dst=/x")["Source"] == ".name"


@pytest.mark.parametrize("text", ["", ":/b", "aa::b", "aaa:"])
def test_refused_volumes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        split_volumes([text])


def test_options_of_another_kind_are_refused() -> None:
    for text in (
        "type=bind,dst=/x,volume-nocopy",
        "dst=/x,tmpfs-size=1",
        "type=tmpfs,dst=/x,bind-propagation=private",
    ):
        with pytest.raises(ValueError, match="cannot mix"):
            parse_mount(text)


def test_tmpfs() -> None:
    assert parse_tmpfs(["/a:size=1,mode=1", "/b", "/a"]) == {"/a": "", "/b": ""}
