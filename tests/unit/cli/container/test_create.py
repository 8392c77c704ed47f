"""Around a create: the id file, a missing image, warnings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sampan.cli.main import run
from tests import cli_cases
from tests.fakes.engine_server import Answer, Request


def play(directory: Path, *arguments: str, **routes: Any) -> tuple[int, str, str, list[Request]]:
    with cli_cases.daemon(directory) as server, cli_cases.surroundings(directory) as (out, err):
        server.routes.update(
            {key.replace("_", " /", 1).replace("__", "/"): route for key, route in routes.items()}
        )
        code = run(["-H", server.host, *arguments])
        return code, out.read_text(), err.read_text(), server.requests


def missing_at_first() -> Any:
    """404 for the first create, then 201."""
    answers = [
        Answer(201, json.dumps({"Id": cli_cases.ID, "Warnings": None}).encode()),
        Answer(404, b'{"message":"No such image: x:latest"}'),
    ]
    return lambda request: answers.pop()


PULLED = Answer(
    200, b'{"status":"Pulling from library/x","id":"latest"}\r\n{"status":"Status: done"}\r\n'
)
BROKEN = Answer(
    200, b'{"status":"Pulling"}\r\n{"errorDetail":{"message":"disk full"},"error":"disk full"}\r\n'
)


def test_a_missing_image_is_pulled(tmp_path: Path) -> None:
    code, out, err, requests = play(
        tmp_path,
        "create",
        "x",
        POST_containers__create=missing_at_first(),
        POST_images__create=PULLED,
    )
    assert (code, out) == (0, f"{cli_cases.ID}\n")
    assert (
        err
        == "Unable to find image 'x:latest' locally\nlatest: Pulling from library/x\nStatus: done\n"
    )
    assert [request.path for request in requests] == [
        "/_ping",
        "/containers/create",
        "/images/create",
        "/containers/create",
    ]


def test_quietly(tmp_path: Path) -> None:
    code, _, err, _ = play(
        tmp_path,
        "create",
        "-q",
        "x",
        POST_containers__create=missing_at_first(),
        POST_images__create=PULLED,
    )
    assert (code, err) == (0, "")


@pytest.mark.parametrize(("command", "code"), [("create", 1), ("run", 125)])
def test_a_pull_that_fails(command: str, code: int, tmp_path: Path) -> None:
    result = play(
        tmp_path,
        command,
        "-q",
        "x",
        POST_containers__create=missing_at_first(),
        POST_images__create=BROKEN,
    )
    assert result[0] == code
    assert "disk full" in result[2]


def test_an_id_is_never_pulled(tmp_path: Path) -> None:
    code, _, err, requests = play(
        tmp_path, "create", "a" * 64, POST_containers__create=missing_at_first()
    )
    assert code == 1
    assert err == "Error response from daemon: No such image: x:latest\n"
    assert len(requests) == 2


def test_the_id_file(tmp_path: Path) -> None:
    path = tmp_path / "id"
    assert play(tmp_path, "create", "--cidfile", str(path), "busybox")[0] == 0
    assert path.read_text() == cli_cases.ID
    (tmp_path / "again").mkdir()
    assert play(tmp_path / "again", "create", "--cidfile", str(path), "busybox")[0] == 1
    assert path.read_text() == cli_cases.ID


def test_no_id_file_without_a_container(tmp_path: Path) -> None:
    path = tmp_path / "id"
    refusal = Answer(500, b'{"message":"no"}')
    assert (
        play(tmp_path, "create", "--cidfile", str(path), "x", POST_containers__create=refusal)[0]
        == 1
    )
    assert not path.exists()
