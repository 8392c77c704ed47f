"""Files of variables and labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.cli.container.files import read_environment, read_pairs


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"\xef\xbb\xbf# note\r\nA=1 \r\n\n \tB= x=y\nHERE\nGONE\nC=")
    environment = {"HERE": "h"}
    assert read_pairs([str(path)], environment) == ["A=1 ", "B= x=y", "HERE=h", "C="]
    assert read_pairs([str(path)], None) == ["A=1 ", "B= x=y", "C="]


def test_what_is_said_comes_last(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("A=1\n")
    (tmp_path / "two").write_text("A=2\n")
    paths = [str(tmp_path / name) for name in ("one", "two")]
    assert read_environment(paths, ["A=3"]) == ["A=1", "A=2", "A=3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A B=1", "variable 'A B' contains whitespaces"),
        (b"=1", "no variable name on line '=1'"),
        (b"ok=1\n\xff\xfe=1", "invalid utf8 bytes at line 2: [255 254 61 49]"),
    ],
)
def test_faults(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "env"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_pairs([str(path)], {})
    assert str(error.value) == f"invalid env file ({path}): {message}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^open .*/none: no such file or directory$"):
        read_pairs([str(tmp_path / "none")], {})
    with pytest.raises(ValueError, match=r"read .*: is a directory$"):
        read_pairs([str(tmp_path)], {})
