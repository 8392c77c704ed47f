"""A channel between two of our processes: JSON messages with descriptors over AF_UNIX SOCK_SEQPACKET.

One packet is one message, at most `LIMIT` bytes of JSON (a larger one is a bug of ours and raises).
Descriptors travel with SCM_RIGHTS and arrive close-on-exec. EOF always means that the peer is gone.
Out of scope: what the messages mean (`monitor/messages.py`), and waiting (callers poll `fileno()`).
"""

from __future__ import annotations

import _socket as socket  # ours needs none of what socket.socket adds, in 5 ms
import os
import sys

from sampan.errors import ProtocolError
from sampan.spec import quickjson
from sampan.spec.typing import Any, Sequence

LIMIT = 128 * 1024
MAX_FDS = 32
_FD_SIZE = 4  # a C int

Message = dict[str, Any]


class Channel:
    """Owns `sock`; `close()` closes it. Blocking unless the socket was made non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        return cls(left), cls(right)

    @classmethod
    def adopt(cls, fd: int) -> Channel:
        """Take over a descriptor that arrived as a number."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()

    def send(self, message: Message, fds: list[int] | tuple[int, ...] = ()) -> None:
        """Raises BlockingIOError when the peer does not read, BrokenPipeError when it is gone."""
        data = quickjson.dumps(message, separators=(",", ":")).encode("utf-8", "surrogateescape")
        if len(data) > LIMIT:
            raise ValueError(f"message of {len(data)} bytes is larger than {LIMIT}")
        ancillary = [rights(fds)] if fds else []
        self.sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors (now the caller's), or None at EOF.

        Raises BlockingIOError when non-blocking and nothing is there; ProtocolError when the packet is
        not one of ours (its descriptors are closed first).
        """
        data, ancillary, flags, _ = self.sock.recvmsg(
            LIMIT + 1, socket.CMSG_SPACE(MAX_FDS * _FD_SIZE), socket.MSG_CMSG_CLOEXEC
        )
        fds = [fd for each in ancillary for fd in _received(each)]
        if not data and not fds:
            return None
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ProtocolError("message or its descriptors were truncated")
            message = quickjson.loads(data.decode("utf-8", "surrogateescape"))
            if not isinstance(message, dict):
                raise ProtocolError(f"expected an object, got {data[:80]!r}")
        except (ProtocolError, ValueError) as error:
            for fd in fds:
                os.close(fd)
            raise error if isinstance(error, ProtocolError) else ProtocolError(str(error)) from None
        return message, fds


def rights(fds: Sequence[int]) -> tuple[int, int, bytes]:
    """The ancillary data that sends descriptors along (unix(7), SCM_RIGHTS)."""
    packed = b"".join(fd.to_bytes(_FD_SIZE, sys.byteorder, signed=True) for fd in fds)
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, packed


def _received(ancillary: tuple[int, int, bytes]) -> list[int]:
    level, kind, payload = ancillary
    if level != socket.SOL_SOCKET or kind != socket.SCM_RIGHTS:
        return []
    ends = range(_FD_SIZE, len(payload) + 1, _FD_SIZE)
    return [int.from_bytes(payload[end - _FD_SIZE : end], sys.byteorder) for end in ends]
