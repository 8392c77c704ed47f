"""What parent and init say to each other, over one socket pair. Anything else is an error; EOF is death.

    parent                                        init
      │ ── clone3 ──────────────────────────────▶ │
      │ ── mapped ──────────────────────────────▶ │  only with a user namespace: its ids are in force
      │    makes and limits the cgroup            │  makes its root, mounts, devices
      │ ◀───────────────────────────── mounted ── │  only where hooks of the parent wait for it
      │ ── limited ─────────────────────────────▶ │
      │                                           │  enters the cgroup, pivots, takes its identity,
      │                                           │  finds the command
      │ ◀─────────────── ready [+ terminal] ────  │  or failed
      │ ── start ───────────────────────────────▶ │
      │ ◀─────────────── EOF (execve) ──────────  │  or failed

Where the seccomp filter has a listener, its descriptor comes before the EOF, and `start` again lets init go on.

A container that outlives its creator gets `leave` instead of `start`: from then on init waits at its gate, the
listening socket of `Request.gate`, and says the rest to the first that says `start` there.

An exec'd process is the same with only `start`, and `ready` only where it has a terminal.
"""

from __future__ import annotations

import os

from sampan.errors import ProtocolError
from sampan.linux.channel import Channel, Message
from sampan.runtime.failure import RuntimeFailure
from sampan.spec.typing import Any, Callable

MAPPED = "mapped"
MOUNTED = "mounted"
LIMITED = "limited"
READY = "ready"
START = "start"
LEAVE = "leave"
LISTENER = "listener"
FAILED = "failed"


def tell(channel: Channel, word: str, fds: tuple[int, ...] = ()) -> None:
    """When the other side is gone nobody hears it; the next `expect` brings what it said last."""
    try:
        channel.send({"is": word}, fds)
    except (BrokenPipeError, ConnectionResetError):
        pass


def tell_failure(channel: Channel, failure: RuntimeFailure) -> None:
    channel.send({"is": FAILED, **failure.to_message()})


def expect(channel: Channel, word: str) -> list[int] | None:
    """The descriptors that came with `word`; None when the other side is gone.

    Raises the other side's RuntimeFailure, or ProtocolError for a word out of turn.
    """
    received = _receive(channel)
    if received is None:
        return None
    message, fds = received
    if message.get("is") == word:
        return fds
    raise _unexpected(message, word)


def expect_alive(channel: Channel, word: str) -> None:
    """Like `expect`, for init, which cannot do without its parent."""
    if expect(channel, word) is None:
        raise RuntimeFailure("the parent is gone", step=f"wait for {word!r}")


def expect_end(channel: Channel, on_listener: Callable[[int], None] | None = None) -> None:
    """Wait until the other side is gone, or has become another program.

    `on_listener` takes over the descriptor of its seccomp listener.
    """
    received = _receive(channel)
    if received is not None and received[0].get("is") == LISTENER and on_listener is not None:
        on_listener(received[1][0])
        tell(channel, START)
        received = _receive(channel)
    if received is not None:
        raise _unexpected(received[0], "the end")


def last_words(channel: Channel) -> RuntimeFailure | None:
    """The failure that the other side has told already: why what was done about it here did not work."""
    import select  # in the parent, and seldom

    while select.select([channel.sock], [], [], 0)[0]:
        received = _receive(channel)
        if received is None:
            return None
        message, fds = received
        for fd in fds:
            os.close(fd)
        if message.get("is") == FAILED:
            return RuntimeFailure.from_message(message)
    return None


def _receive(channel: Channel) -> tuple[Message, list[int]] | None:
    try:
        return channel.receive()
    except ConnectionResetError:
        # It went without reading all that we sent, unix(7); what it had sent itself comes after.
        return channel.receive()


def _unexpected(message: dict[str, Any], word: str) -> Exception:
    if message.get("is") == FAILED:
        return RuntimeFailure.from_message(message)
    return ProtocolError(f"expected {word!r}, got {message!r}")
