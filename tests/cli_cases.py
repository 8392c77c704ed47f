"""Command lines for `docker` and `sampan`, and a daemon that is none to try them on: one table, two uses.

`tests/compat/test_cli_same_requests.py` runs the real `docker` beside ours. What docker did is also kept in
`tests/golden/cli/recorded.json` (written by `python -m tests.cli_cases`), so that the unit tests need no docker.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes.engine_server import Answer, EngineServer, Request

CASES = Path(__file__).parent / "golden" / "cli"
RECORDED = CASES / "recorded.json"
ID = "c" * 64
ENVIRONMENT = {
    "HOME": "/nonexistent",
    "TZ": "UTC",
    "PATH": os.defpath,
    "FROM_HOST": "yes",
    "TERM": "dumb",
}
FILES = {
    "env": b"# note\nX=1\n  Y=2 \nFROM_HOST\nNOT_THERE\n\nZ=\n",
    "bom": b"\xef\xbb\xbfA=1\r\n\tB=2\n",
    "blank": b"A B=1\n",
    "noname": b"=1\n",
    "bytes": b"\xff=1\n",
    "labels": b"a=b\nc\n d=e\n",
    "profile": b'{ "defaultAction": "SCMP_ACT_ALLOW", "x": [1, "a b"] }\n',
    "archive": b"archive",
    "idfile": b"",
}


class Outcome(NamedTuple):
    """What a command line did. Requests are method, target and decoded body."""

    code: int
    out: str
    err: str
    requests: list[list[Any]]


def lines(name: str) -> list[str]:
    """The command lines of `tests/golden/cli/NAME.txt`; a line is split as a shell would."""
    text = (CASES / f"{name}.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def container() -> dict[str, Any]:
    with open(CASES / "container.json") as file:
        value: dict[str, Any] = json.load(file)
    return value


@contextmanager
def daemon(directory: Path, version: str = "1.50") -> Iterator[EngineServer]:
    """The daemon that all command lines are tried on. Names with "nosuch" are unknown to it."""
    with EngineServer(directory, api_version=version) as server:
        server.routes.update(_routes())
        yield server


def docker(arguments: list[str], directory: Path, version: str = "1.50") -> Outcome:
    """Run the real docker in a folder of its own."""
    program = shutil.which("docker")
    assert program is not None
    _lay_out(directory)
    with daemon(directory, version) as server:
        done = subprocess.run(
            [program, "-H", server.host, *arguments],
            input=b"typed\n",
            capture_output=True,
            cwd=directory,
            env=ENVIRONMENT,
            timeout=30,
        )
        return _outcome(done.returncode, done.stdout, done.stderr, server, directory)


def sampan(arguments: list[str], directory: Path, version: str = "1.50") -> Outcome:
    """Run ours in this process, on descriptors, folder and environment of its own."""
    from sampan.cli.main import run

    _lay_out(directory)
    with daemon(directory, version) as server, surroundings(directory) as (out, err):
        code = run(["-H", server.host, *arguments])
        return _outcome(code, out.read_bytes(), err.read_bytes(), server, directory)


def as_ours(outcome: Outcome) -> Outcome:
    """docker's words with our name in them."""
    err = re.sub(r"(?<!docs\.)\b[Dd]ocker\b", "sampan", outcome.err).replace("SRun", "Run")
    return outcome._replace(err=err)


def comparable(line: str, outcome: Outcome) -> Outcome:
    """Without what docker leaves to chance: the order of Go's maps, of goroutines, and addresses in memory."""
    out = re.sub(r"0xc0[0-9a-f]+", "0xc0", outcome.out)
    # docker asks whether there is a swarm before it looks for swarm objects.
    requests = [
        r for r in outcome.requests if not (line.startswith("inspect") and r[1].endswith("/info"))
    ]
    for request in requests:
        if request[1].partition("?")[0].endswith("/containers/create"):
            request[2]["Env"] = sorted(request[2]["Env"] or [])
            request[2]["HostConfig"]["Binds"] = sorted(request[2]["HostConfig"]["Binds"] or [])
    if line.split()[0] in ("rm", "stop", "attach"):
        requests.sort(key=str)
    # We look at a template before we ask for what to show with it.
    if line.startswith("info") and outcome.code == 64:
        requests = []
    return outcome._replace(out=out, requests=requests)


def recorded() -> dict[str, Outcome]:
    """What docker did for each command line (its key) when it was recorded."""
    with open(RECORDED) as file:
        content = json.load(file)
    base = content["base"]
    found = {line: Outcome(*outcome) for line, outcome in content["lines"].items()}
    for outcome in found.values():
        for request in outcome.requests:
            if request[1].partition("?")[0].endswith("/containers/create"):
                request[2] = _grown(request[2], base)
    return found


def all_lines() -> list[str]:
    return [
        line
        for name in ("create", "faults", "verbs", "templates", "volumes")
        for line in lines(name)
    ]


def _outcome(code: int, out: bytes, err: bytes, server: EngineServer, directory: Path) -> Outcome:
    requests = [_request(request) for request in server.requests if request.path != "/_ping"]
    text = json.dumps([out.decode(), err.decode(), requests]).replace(str(directory), "DIRECTORY")
    shown_out, shown_err, shown = json.loads(text)
    return Outcome(code, shown_out, shown_err, shown)


def _request(request: Request) -> list[Any]:
    kind = request.headers.get("content-type", "")
    body: Any = request.body.decode(errors="replace")
    if kind == "application/json" and body:
        body = json.loads(body)
    upgrade = request.headers.get("upgrade", "")
    return [request.method, request.target, body, upgrade]


def _lay_out(directory: Path) -> None:
    for name, content in FILES.items():
        (directory / name).write_bytes(content)


@contextmanager
def surroundings(directory: Path) -> Iterator[tuple[Path, Path]]:
    """Descriptors 0 to 2, the folder and the environment, for one command."""
    out, err, typed = directory / "stdout", directory / "stderr", directory / "stdin"
    typed.write_bytes(b"typed\n")
    saved = [os.dup(number) for number in range(3)]
    folder, environment = os.getcwd(), dict(os.environ)
    opened = [
        os.open(typed, os.O_RDONLY),
        os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ]
    try:
        for number, descriptor in enumerate(opened):
            os.dup2(descriptor, number)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(ENVIRONMENT)
        yield out, err
    finally:
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        for number, descriptor in enumerate(saved):
            os.dup2(descriptor, number)
        for descriptor in saved + opened:
            os.close(descriptor)


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode())


def _stream(first: bytes) -> Callable[[socket.socket], None]:
    """Send, then read to the end of input."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(first)
        while connection.recv(65536):
            pass

    return serve


def _hijacked() -> Answer:
    frames = b"\x01\0\0\0\0\0\0\x04out\n" + b"\x02\0\0\0\0\0\0\x04err\n"
    return Answer(101, hijack=_stream(frames))


def _unless_missing(answer: Answer) -> Callable[[Request], Answer]:
    def route(request: Request) -> Answer:
        if "nosuch" not in request.target:
            return answer
        image = request.path.startswith("/images") or request.path.endswith("/create")
        kind = "image" if image else "container"
        return _json({"message": f"No such {kind}: nosuch"}, 404)

    return route


def _exec_start(request: Request) -> Answer:
    return Answer(200, b"") if json.loads(request.body)["Detach"] else _hijacked()


def _routes() -> dict[str, Any]:
    with open(CASES / "answers.json") as file:
        answers = json.load(file)
    found = container()
    found["Config"]["Tty"] = False
    none = _unless_missing(Answer(204, b""))
    routes: dict[str, Any] = {
        f"{method} {path}": _unless_missing(_json(value)) for method, path, value in answers
    }
    routes |= {
        f"POST /{verb}": none
        for verb in ("start", "stop", "restart", "kill", "pause", "unpause", "rename")
    }
    routes |= {
        "GET /json": _unless_missing(_json(found)),
        "POST /containers/create": _unless_missing(
            _json({"Id": ID, "Warnings": ["mind this"]}, 201)
        ),
        "POST /attach": _hijacked(),
        "POST /exec": _unless_missing(_json({"Id": "e1"}, 201)),
        "POST /exec/e1/start": _exec_start,
        "POST /resize": Answer(200, b""),
        "POST /tag": _unless_missing(Answer(201, b"")),
        "DELETE /x": Answer(204, b""),
        **dict.fromkeys(("DELETE /volumes/x", "DELETE /volumes/y", "DELETE /volumes/nosuch"), none),
        "GET /logs": Answer(200, b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n"),
    }
    return routes


def record() -> None:
    """Write what docker does now."""
    found = {}
    base = _run_docker("create busybox").requests[0][2]
    for line in all_lines():
        outcome = found[line] = _run_docker(line)
        for request in outcome.requests:
            if request[1].partition("?")[0].endswith("/containers/create"):
                request[2] = _shrunk(request[2], base)
    rows = ",\n".join(f"{json.dumps(line)}: {json.dumps(found[line])}" for line in found)
    RECORDED.write_text(f'{{"base": {json.dumps(base)},\n"lines": {{\n{rows}\n}}}}\n')
    sys.stdout.write(f"{len(found)} command lines recorded\n")


def _run_docker(line: str) -> Outcome:
    with tempfile.TemporaryDirectory() as directory:
        return docker(shlex.split(line), Path(directory))


def _shrunk(body: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """What differs from `base`; "-" holds the keys that are missing."""
    changed: dict[str, Any] = {}
    for key, value in body.items():
        before = base.get(key)
        if key in base and value == before:
            continue
        both = isinstance(value, dict) and isinstance(before, dict)
        changed[key] = _shrunk(value, before) if both else value
    gone = [key for key in base if key not in body]
    return changed | ({"-": gone} if gone else {})


def _grown(change: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    body = {key: value for key, value in base.items() if key not in change.get("-", [])}
    for key, value in change.items():
        if key == "-":
            continue
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        body[key] = _grown(value, base[key]) if both else value
    return body


if __name__ == "__main__":
    record()
