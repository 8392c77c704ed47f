"""What parent and init say to each other, over one socket pair. Anything else is an error; EOF is death.

    parent                                        init
      │ ── clone3 ──────────────────────────────▶ │
      │ ── mapped ──────────────────────────────▶ │  only with a user namespace: its ids are in force
      │    limits the cgroup                      │  mounts, pivots, takes its identity, finds the command
      │ ◀─────────────── ready [+ terminal] ────  │  or failed
      │ ── start ───────────────────────────────▶ │
      │ ◀─────────────── EOF (execve) ──────────  │  or failed

An exec'd process is the same, without `start`: `go` comes when it is in its cgroup, `ready` is left
out where it has no terminal, and EOF says that execve was done.
"""

from __future__ import annotations

from typing import Any

from sampan.errors import ProtocolError
from sampan.linux.channel import Channel
from sampan.runtime.failure import RuntimeFailure

MAPPED = "mapped"
READY = "ready"
START = "start"
FAILED = "failed"


def tell(channel: Channel, word: str, fds: tuple[int, ...] = ()) -> None:
    channel.send({"is": word}, fds)


def tell_failure(channel: Channel, failure: RuntimeFailure) -> None:
    channel.send({"is": FAILED, **failure.to_message()})


def expect(channel: Channel, word: str) -> list[int] | None:
    """The descriptors that came with `word`; None when the other side is gone.

    Raises the other side's RuntimeFailure, or ProtocolError for a word out of turn.
    """
    received = channel.receive()
    if received is None:
        return None
    message, fds = received
    if message.get("is") == word:
        return fds
    raise _unexpected(message, word)


def expect_end(channel: Channel) -> None:
    """Wait until the other side is gone, or has become another program."""
    received = channel.receive()
    if received is not None:
        raise _unexpected(received[0], "the end")


def _unexpected(message: dict[str, Any], word: str) -> Exception:
    if message.get("is") == FAILED:
        return RuntimeFailure.from_message(message)
    return ProtocolError(f"expected {word!r}, got {message!r}")
