"""An exit is told by the daemon that was asked, or by the one that comes after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.cli import waiting
from sampan.cli.address import Address
from sampan.cli.client import Client
from sampan.cli.failure import Failure
from sampan.cli.waiting import Wait, wait_for_exit
from tests.fakes.engine_server import Answer, EngineServer

DONE = Answer(200, b'{"StatusCode":7}')
LOST = Answer(200, b"", {"Content-Type": "application/json"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    with EngineServer(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: EngineServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(waiting, "_POLL", 0.001)
    made = Client(Address(server.host, explicit=True))
    yield made
    made.close()


@pytest.mark.parametrize(("removed", "condition"), [(False, "next-exit"), (True, "removed")])
def test_what_is_asked(server: EngineServer, client: Client, removed: bool, condition: str) -> None:
    server.routes["POST /wait"] = DONE
    assert wait_for_exit(client, "x", removed=removed).exit_code() == 7
    assert server.requests[-1].query == f"condition={condition}"


@pytest.mark.parametrize(("removed", "asked"), [(False, ""), (True, "condition=removed")])
def test_a_daemon_that_comes_back_is_asked_again(
    server: EngineServer, client: Client, removed: bool, asked: str
) -> None:
    answers = [DONE, LOST, LOST]
    server.routes["POST /wait"] = lambda request: answers.pop()
    assert wait_for_exit(client, "x", removed=removed).exit_code() == 7
    assert [request.query for request in server.requests[2:]] == [asked, asked]


def test_nobody_listens_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_POLL", 0.001)
    first = EngineServer(tmp_path)
    first.routes["POST /wait"] = LOST
    codes: list[int] = []
    with first:
        client = Client(Address(first.host, explicit=True))
        wait = wait_for_exit(client, "x", removed=False)
    first.path.unlink()
    thread = threading.Thread(target=lambda: codes.append(wait.exit_code()))
    thread.start()
    second = EngineServer(tmp_path)
    second.routes["POST /wait"] = DONE
    with second:
        thread.join(20)
    client.close()
    assert codes == [7]


def test_not_for_ever(
    server: EngineServer,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(waiting, "BACK_WITHIN", 0.0)
    server.routes["POST /wait"] = LOST
    assert wait_for_exit(client, "x", removed=False).exit_code() == 125
    assert "error waiting for container: unexpected end of JSON input" in capfd.readouterr().err


@pytest.mark.parametrize(
    "answer", [Answer(404, b'{"message":"No such container: x"}'), Answer(200, b"[]")]
)
def test_a_clear_no_is_no(server: EngineServer, client: Client, answer: Answer) -> None:
    server.routes["POST /wait"] = answer
    assert wait_for_exit(client, "x", removed=False).exit_code() == 125
    assert len(server.requests) == 2


def test_a_failure_to_begin_is_told_when_the_answer_is_asked_for(
    server: EngineServer, client: Client
) -> None:
    server.routes["POST /wait"] = Answer(404, b'{"message":"No such container: x"}')
    wait = Wait(client, "x", "")
    with pytest.raises(Failure, match="No such container: x"):
        wait.answer()
