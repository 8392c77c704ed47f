"""TLS towards a log server, on a socket that never waits.

`ssl` is imported where it is used: the monitors whose log goes another way, nearly all, do not pay for it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from sampan.monitor.loop import IN, OUT

if TYPE_CHECKING:
    import ssl


def client_context(options: Mapping[str, object]) -> ssl.SSLContext:
    """`options`: `RemoteLog.tls`. The files are read anew each time, so that renewed ones count.

    Raises OSError (ssl.SSLError is one) for a file that is none."""
    import ssl

    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 refuses CAs that do not say what their keys are for; Go takes them.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if options.get("skip_verify"):
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif options.get("ca"):
        made.load_verify_locations(str(options["ca"]))
    if options.get("certificate"):
        made.load_cert_chain(
            str(options["certificate"]), str(options["key"]), password=_no_password
        )
    return made


def _no_password() -> str:
    raise OSError(0, "the key is encrypted")


class TlsSocket:
    """As far as `remote.py` needs it, a connected socket; what has to wait is a BlockingIOError everywhere."""

    def __init__(self, sock: socket.socket, options: Mapping[str, object]) -> None:
        import ssl

        self._waits = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
        self._writes = ssl.SSLWantWriteError
        self._ended = ssl.SSLZeroReturnError
        self.wanted = IN
        self.type = socket.SOCK_STREAM
        self._socket = client_context(options).wrap_socket(
            sock,
            server_hostname=str(options.get("server_name") or "") or None,
            do_handshake_on_connect=False,
        )

    def handshake(self) -> bool:
        """Whether it is done; else `wanted` says for what to wait. Raises OSError."""
        try:
            self._socket.do_handshake()
        except self._waits as wait:
            self.wanted = OUT if isinstance(wait, self._writes) else IN
            return False
        return True

    def send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except self._waits:
            raise BlockingIOError from None

    def recv(self, size: int) -> bytes:
        try:
            return self._socket.recv(size)
        except self._waits:
            raise BlockingIOError from None
        except self._ended:
            return b""

    def finish(self, seconds: float) -> None:
        """Say that this is all, and wait until the server has closed too.

        Tickets of TLS 1.3 that come to a closed socket would reset it, and the server lose what it has not read."""
        self._socket.settimeout(seconds)
        with suppress(OSError, ValueError):
            self._socket.unwrap()

    def settimeout(self, seconds: float) -> None:
        self._socket.settimeout(seconds)

    def getsockopt(self, level: int, name: int) -> int:
        return self._socket.getsockopt(level, name)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
