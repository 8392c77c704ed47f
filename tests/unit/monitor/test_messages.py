"""The monitor's messages: what is sent comes out again, and what is not understood is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sampan.errors import ProtocolError
from sampan.monitor.messages import Arguments, AttachOptions, ExecOptions, LogOptions, kind_of
from sampan.spec.mount import Mount

ARGUMENTS = Arguments(
    id="ab" * 32,
    directory="/run/x",
    root=(Mount("overlay", "overlay", ("lowerdir=/a", "upperdir=/b"), ""),),
    namespaces=("network", "ipc"),
    terminal=True,
    open_stdin=True,
    stdin_once=True,
    console_size=(24, 80),
    log=LogOptions("json-file", "/x.log", 1000, 3),
    title="t",
    seccomp=b"\0\1\xff",
)
ATTACH = AttachOptions(
    stdin=True,
    stdout=True,
    multiplexed=True,
    detach_keys="a",
    prefetched=b"\xff\0",
    stall_timeout=1.5,
)
EXEC = ExecOptions(
    "e", {"args": ["x"]}, terminal=True, console_size=(1, 2), attach=ATTACH, seccomp=b"f"
)


def over_the_wire(message: dict[str, Any]) -> dict[str, Any]:
    result = json.loads(json.dumps(message))
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("options", [ARGUMENTS, ATTACH, EXEC, AttachOptions(), LogOptions()])
def test_options_survive_the_wire(options: Any) -> None:
    """JSON and back is the same object."""
    assert type(options).from_message(over_the_wire(options.to_message())) == options


def test_unknown_fields_are_ignored() -> None:
    """So that a newer daemon can say more."""
    message = over_the_wire(ARGUMENTS.to_message()) | {"new": 1}
    assert Arguments.from_message(message) == ARGUMENTS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "expected version 1"),
        ({"version": None}, "expected version 1"),
        ({"id": 7}, "expected id to be str, got 7"),
        ({"root": None}, "expected root to be list"),
        ({"log": "x"}, "expected log to be dict"),
        ({"log": {"driver": "syslog"}}, "expected log driver json-file or none, got 'syslog'"),
        ({"console_size": [1]}, "rows, columns"),
        ({"console_size": [-1, 2]}, "rows, columns"),
        ({"seccomp": "!"}, "seccomp"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], words: str) -> None:
    """ProtocolError with the field and what came."""
    with pytest.raises(ProtocolError, match=words.replace("[", "\\[")):
        Arguments.from_message(over_the_wire(ARGUMENTS.to_message()) | change)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            {},
            "expected one of attach, wait, start, expect_exec, exec, kill, pause, resume, resize, update, state, delete, got None",
        ),
        ({"type": "bogus"}, "got 'bogus'"),
        ({"type": ["start"]}, "got"),
        ({"type": "kill", "request": 1}, "kill: expected signal to be int, got None"),
        ({"type": "kill", "request": True, "signal": 9}, "expected request to be int, got True"),
        ({"type": "exec", "exec_id": "e", "process": []}, "expected process to be dict"),
        ({"type": "resize", "request": 1, "rows": 1, "columns": "x"}, "expected columns to be int"),
        ({"type": "update", "request": 1}, "expected resources to be dict"),
    ],
)
def test_what_is_not_understood_is_answered_by_what_was_expected(
    message: dict[str, Any], words: str
) -> None:
    """The text is for whoever debugs the other side."""
    with pytest.raises(ProtocolError, match=words):
        kind_of(message)


def test_known_messages_have_their_kind() -> None:
    """Checked fields or none."""
    assert kind_of({"type": "start"}) == "start"
    assert kind_of({"type": "kill", "request": 3, "signal": 9}) == "kill"
    assert kind_of(EXEC.to_message()) == "exec"


@pytest.mark.parametrize(
    "message",
    [{"detach_keys": "ctrl-"}, {"prefetched": "!"}, {"prefetched": 5}, {"detach_keys": 5}],
)
def test_bad_attach_options_are_refused(message: dict[str, Any]) -> None:
    """Before a client is taken over."""
    with pytest.raises(ProtocolError):
        AttachOptions.from_message(message)
