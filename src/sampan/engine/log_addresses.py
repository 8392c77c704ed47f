"""Where a remote log goes: `syslog-address` and `fluentd-address`, checked, looked up and tried before a start.

The monitor gets numbers only; whether anybody listens is seen here, so that a start fails as it does with
dockerd. Words are moby's.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

from sampan.distribution.failures import tls_failure
from sampan.errors import InvalidParameter, SampanError
from sampan.monitor.messages import RemoteAddress
from sampan.monitor.tls import client_context

DEADLINE = 10.0  # seconds
JOURNAL = "/run/systemd/journal/socket"
_LOCAL_SYSLOGS = ("/dev/log", "/var/run/syslog", "/var/run/log")
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp"),
)
_NUMBERS = {name: number for number, name in enumerate(_FACILITIES)} | {
    f"local{number}": 16 + number for number in range(8)
}
_FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
_DAEMON = 3


def check_syslog(options: Mapping[str, str]) -> None:
    """Raises InvalidParameter."""
    syslog_address(options)
    facility(options)
    if options.get("syslog-format", "") not in _FORMATS:
        raise InvalidParameter("Invalid syslog format")


def facility(options: Mapping[str, str]) -> int:
    """Raises InvalidParameter."""
    text = options.get("syslog-facility", "")
    if not text:
        return _DAEMON
    if text in _NUMBERS:
        return _NUMBERS[text]
    if text.isascii() and text.isdigit() and int(text[:4]) <= 23:
        return int(text)
    raise InvalidParameter("invalid syslog facility")


def address(driver: str, options: Mapping[str, str]) -> RemoteAddress:
    """Not looked up yet. Raises InvalidParameter."""
    if driver == "syslog":
        return syslog_address(options)
    if driver == "fluentd":
        return fluentd_address(options)
    return RemoteAddress("unixgram", JOURNAL)


def syslog_address(options: Mapping[str, str]) -> RemoteAddress:
    text = options.get("syslog-address", "")
    if not text:
        return RemoteAddress("local", "")
    protocol, separator, rest = text.partition("://")
    if not separator or protocol not in ("udp", "tcp", "tcp+tls", "unix", "unixgram"):
        raise InvalidParameter(f"syslog-address should be in form proto://address, got {text}")
    if protocol in ("unix", "unixgram"):
        if not os.path.exists(rest):
            raise InvalidParameter(f"stat {rest}: no such file or directory")
        return RemoteAddress(protocol, rest)
    host, port = _host_port(rest, 514, f"invalid syslog-address {text}")
    return RemoteAddress(protocol, host, port)


def tls_options(options: Mapping[str, str]) -> dict[str, str | bool]:
    """`RemoteLog.tls`; empty without TLS. As with dockerd, that `syslog-tls-skip-verify` is there is enough."""
    where = syslog_address(options)
    if where.protocol != "tcp+tls":
        return {}
    return {
        "server_name": where.host,
        "ca": options.get("syslog-tls-ca-cert", ""),
        "certificate": options.get("syslog-tls-cert", ""),
        "key": options.get("syslog-tls-key", "") or options.get("syslog-tls-cert", ""),
        "skip_verify": "syslog-tls-skip-verify" in options,
    }


def fluentd_address(options: Mapping[str, str]) -> RemoteAddress:
    text = options.get("fluentd-address", "") or "127.0.0.1:24224"
    protocol, separator, rest = text.partition("://")
    if separator and protocol == "unix":
        return RemoteAddress("unix", rest)
    if separator and protocol != "tcp":
        raise InvalidParameter(
            f'invalid fluentd-address {text}: strconv.Atoi: parsing "//{rest}": invalid syntax'
        )
    host, port = _host_port(rest if separator else text, 24224, f"invalid fluentd-address {text}")
    return RemoteAddress("tcp", host or "127.0.0.1", port)


def _host_port(text: str, default: int, complaint: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or port.endswith("]"):
        return text.strip("[]"), default
    if not (port.isascii() and port.isdigit() and len(port) < 6):
        raise InvalidParameter(f'{complaint}: strconv.Atoi: parsing "{port}": invalid syntax')
    return host.strip("[]"), int(port)


# -- at the start ------------------------------------------------------------------------------


async def reach(
    where: RemoteAddress, *, must_answer: bool, tls: Mapping[str, object]
) -> RemoteAddress:
    """The address in numbers, at which (with `must_answer`) somebody listens, whom we trust if it is by TLS.

    Raises SampanError."""
    try:
        if where.protocol == "local":
            return _local_syslog()
        if where.protocol in ("unix", "unixgram"):
            if must_answer:
                _try_unix(where)
            return where
        reached = await _try_network(where, must_answer=must_answer)
        if must_answer and tls:
            await _try_tls(reached, tls)
        return reached
    except OSError as error:
        number = error.errno or 0
        reason = (os.strerror(number) if number > 0 else str(error.strerror or error)).lower()
        text = f"dial {where.protocol.removesuffix('+tls')} {where.shown()}: connect: {reason}"
        raise SampanError(f"failed to initialize logging driver: {text}") from None


def _local_syslog() -> RemoteAddress:
    for path in _LOCAL_SYSLOGS:
        for protocol in ("unixgram", "unix"):
            found = RemoteAddress(protocol, path)
            try:
                _try_unix(found)
            except OSError:
                continue
            return found
    raise SampanError("failed to initialize logging driver: Unix syslog delivery error")


def _try_unix(where: RemoteAddress) -> None:
    """Blocking, but the kernel answers at once."""
    if where.host == JOURNAL and not os.path.exists(JOURNAL):
        raise SampanError(
            "failed to initialize logging driver: journald is not enabled on this host"
        )
    kind = socket.SOCK_STREAM if where.protocol == "unix" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.connect(where.host)


async def _try_tls(where: RemoteAddress, tls: Mapping[str, object]) -> None:
    """Raises SampanError."""
    try:
        context = await asyncio.to_thread(client_context, tls)
        async with asyncio.timeout(DEADLINE):
            _, writer = await asyncio.open_connection(
                where.host, where.port, ssl=context, server_hostname=str(tls["server_name"])
            )
        writer.transport.abort()
    except (OSError, TimeoutError) as error:
        raise SampanError(f"failed to initialize logging driver: {tls_failure(error)}") from None


async def _try_network(where: RemoteAddress, *, must_answer: bool) -> RemoteAddress:
    stream = where.protocol.startswith("tcp")
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(DEADLINE):
            found = await loop.getaddrinfo(where.host, where.port, type=kind)
            family, _, _, _, numbers = found[0]
            reached = RemoteAddress(where.protocol, str(numbers[0]), where.port)
            if must_answer and stream:
                with socket.socket(family, kind) as sock:
                    sock.setblocking(False)
                    await loop.sock_connect(sock, numbers)
            return reached
    except TimeoutError:
        raise OSError(110, "i/o timeout") from None
