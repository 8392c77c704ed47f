"""What went wrong between us and a registry, in Docker's words.

    RegistryError      the registry said no: its code, its message, the status
    ├── Throttled      429; carries how long the registry wants to be left alone
    Unreachable        nothing was said: no address, no connection, no certificate, cut, silent
    AuthFailed         the credentials are missing, or a token server refused them

`passing(error)` tells whether another try may help. What comes from a registry is shown without control
characters and cut, so that it cannot paint on a terminal. Sources of the texts: distribution's
registry/client/errors.go and errcode, moby's distribution/errors.go, Go's net and net/url.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec

from sampan.distribution import challenge
from sampan.errors import NotFound, SampanError
from sampan.spec.reference import Reference

ERROR_LIMIT = 64 << 10  # bytes of an error's body that are read
_TEXT_LIMIT = 2000
_RETRIED = frozenset((408, 429, 500, 502, 503, 504))
_MESSAGES = {
    "UNAUTHORIZED": "authentication required",
    "DENIED": "requested access to the resource is denied",
    "MANIFEST_UNKNOWN": "manifest unknown",
    "NAME_UNKNOWN": "repository name not known to registry",
    "BLOB_UNKNOWN": "blob unknown to registry",
    "TOOMANYREQUESTS": "too many requests",
    "UNAVAILABLE": "service unavailable",
    "UNSUPPORTED": "The operation is unsupported.",
}


class RegistryError(SampanError):
    """`code` is distribution's (`MANIFEST_UNKNOWN`), or empty when the body had none; `first` is the text of
    the first error when a registry sent several."""

    def __init__(self, text: str, *, code: str = "", http_status: int = 0, first: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.http_status = http_status
        self.first = first or text


class Throttled(RegistryError):
    """`after` is in seconds, or None when the registry did not say."""

    after: float | None = None


class Unreachable(SampanError):
    """`connecting`: not even a connection was made, or it is not one that can be trusted."""

    def __init__(self, text: str, *, connecting: bool) -> None:
        super().__init__(text)
        self.connecting = connecting


class AuthFailed(SampanError):
    """`reason` is the text without the method and URL that may come before it."""

    def __init__(self, reason: str, request: str = "") -> None:
        super().__init__(f"{request}: {reason}" if request else reason)
        self.reason = reason


class Cut(Unreachable):
    """A connection ended before the last byte."""

    def __init__(self, text: str) -> None:
        super().__init__(text, connecting=False)


def passing(error: SampanError) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, RegistryError):
        return error.http_status in _RETRIED
    return isinstance(error, Unreachable)


def from_response(
    status: int, reason: str, authenticate: list[str], body: bytes, *, retry_after: str = ""
) -> RegistryError:
    """The error that an answer with a status of 400 or more is."""
    if status >= 500 or status < 400:
        text = f"received unexpected HTTP status: {status} {_reason(status, reason)}"
        return _with_delay(RegistryError(text, http_status=status), retry_after)
    bearer = _bearer_error(authenticate)
    errors = _errors_of(status, body)
    if bearer is not None:
        errors = [bearer, *(error for error in errors if error[0] != bearer[0])]
    if not errors and status == HTTPStatus.UNAUTHORIZED:
        errors = [("UNAUTHORIZED", _MESSAGES["UNAUTHORIZED"])]
    if not errors and status == HTTPStatus.TOO_MANY_REQUESTS:
        errors = [("TOOMANYREQUESTS", _MESSAGES["TOOMANYREQUESTS"])]
    if not errors:
        return RegistryError(_unparsable(status, body), http_status=status)
    texts = [f"{code.lower().replace('_', ' ')}: {message}" for code, message in errors]
    text = texts[0] if len(texts) == 1 else "errors:\n" + "".join(f"{line}\n" for line in texts)
    error = RegistryError(text, code=errors[0][0], http_status=status, first=texts[0])
    return _with_delay(error, retry_after)


def _with_delay(error: RegistryError, retry_after: str) -> RegistryError:
    if error.http_status != HTTPStatus.TOO_MANY_REQUESTS and not retry_after:
        return error
    throttled = Throttled(str(error), code=error.code, http_status=error.http_status)
    throttled.after = _seconds(retry_after)
    return throttled


def _seconds(text: str) -> float | None:
    """Retry-After: seconds, or a date, which is not worth a clock: it counts as not given."""
    return float(text[:12]) if text.strip().isascii() and text.strip().isdigit() else None


def _bearer_error(authenticate: list[str]) -> tuple[str, str] | None:
    """RFC 6750, 3.1: what a token was not good enough for."""
    codes = {"invalid_token": "UNAUTHORIZED", "insufficient_scope": "DENIED"}
    for found in challenge.parse(authenticate):
        code = codes.get(found.get("error"))
        if found.scheme == "bearer" and code is not None:
            return code, clean(found.get("error_description")) or _MESSAGES[code]
    return None


def _errors_of(status: int, body: bytes) -> list[tuple[str, str]]:
    try:
        document: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    codes = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS"}
    if isinstance(document.get("details"), str) and status in codes:
        return [(codes[status], clean(document["details"]))]
    found: list[tuple[str, str]] = []
    errors = document.get("errors")
    for error in errors[:10] if isinstance(errors, list) else ():
        if isinstance(error, dict) and isinstance(error.get("code"), str):
            code = clean(error["code"])[:60].upper()
            message = error.get("message")
            default = _MESSAGES.get(code, "unknown error")
            found.append(
                (code, clean(message) if message and isinstance(message, str) else default)
            )
    return found


def _unparsable(status: int, body: bytes) -> str:
    shown = clean(body[:_TEXT_LIMIT].decode("utf-8", "replace"))
    return f'error parsing HTTP {status} response body: no error details found in HTTP response body: "{shown}"'


def _reason(status: int, reason: str) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return clean(reason)[:60]


def clean(text: str) -> str:
    """Without control characters, and not endless."""
    return "".join(c if c.isprintable() else " " for c in text[:_TEXT_LIMIT]).strip()


def from_exception(method: str, url: str, error: Exception) -> Unreachable:
    """A failure below HTTP, as Go's url.Error says it; `url` without what is secret."""
    reason, connecting = _reason_of(error)
    return Unreachable(f'{method.capitalize()} "{url}": {reason}', connecting=connecting)


def _reason_of(error: Exception) -> tuple[str, bool]:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate(error.certificate_error), True
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: {_lookup(error.os_error)}", True
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        if (
            "WRONG_VERSION" in str(error)
            or "RECORD_LAYER" in str(error)
            or "HTTP_REQ" in str(error)
        ):
            return "http: server gave HTTP response to HTTPS client", True
        return f"tls: {clean(str(error.os_error))[:200]}", True
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"proxyconnect tcp: dial tcp: {_system(error.os_error)}", True
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"proxyconnect tcp: {error.status} {clean(error.message)[:200]}", True
    if isinstance(error, aiohttp.ClientConnectorError):
        where = f"{error.host}:{error.port}" if error.port else error.host
        return f"dial tcp {where}: connect: {_system(error.os_error)}", True
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "dial tcp: i/o timeout", True
    if isinstance(error, aiohttp.ServerTimeoutError | TimeoutError):
        return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)", False
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF", False
    if isinstance(error, aiohttp.ClientPayloadError):
        return "unexpected EOF", False
    if isinstance(error, aiohttp.ClientResponseError):
        return f"malformed HTTP response: {clean(error.message)[:200]}", False
    if isinstance(error, OSError) and "[SSL:" in str(error):
        return _alert(str(error)), False
    if isinstance(error, OSError) and error.errno:
        return f"read tcp: {_system(error)}", False
    return f"{type(error).__name__}: {clean(str(error))[:200]}", False


def tls_failure(error: OSError) -> str:
    """Go's words for a handshake that failed, or a certificate's file that is none."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {_certificate(error)}"
    if isinstance(error, ssl.SSLError):
        return _alert(str(error))
    return "i/o timeout" if isinstance(error, TimeoutError) else _system(error)


def _certificate(error: Exception) -> str:
    """Go's words for the reasons OpenSSL gives."""
    code = getattr(error, "verify_code", 0)
    reason = getattr(error, "verify_message", "") or str(error)
    if code in (18, 19, 20, 21):  # self-signed, or an issuer that nobody knows
        return "x509: certificate signed by unknown authority"
    if code == 10:
        return "x509: certificate has expired or is not yet valid"
    if isinstance(error, ssl.CertificateError) and code in (62, 64):
        return f"x509: certificate is not valid for this name: {clean(reason)[:200]}"
    return f"x509: {clean(reason)[:200]}"


def _alert(text: str) -> str:
    """`[SSL: …] tlsv13 alert certificate required (_ssl.c:1)`: with TLS 1.3 it comes after the handshake."""
    _, found, words = text.partition(" alert ")
    if not found:
        return f"tls: {clean(text)[:200]}"
    return f"remote error: tls: {clean(words.partition('(')[0])[:100]}"


def _lookup(error: OSError) -> str:
    if error.errno == socket.EAI_AGAIN:
        return "server misbehaving"
    return "no such host" if isinstance(error, socket.gaierror) else clean(str(error))[:200]


def _system(error: OSError) -> str:
    number = error.errno or 0
    known = {errno.ECONNREFUSED: "connection refused", errno.ECONNRESET: "connection reset by peer"}
    if number in known:
        return known[number]
    text = os.strerror(number) if number > 0 else error.strerror or str(error)
    return clean(text).lower()[:200]


def pull_error(error: SampanError, reference: Reference) -> SampanError:
    """What dockerd makes of an error while it looks for an image."""
    if not isinstance(error, RegistryError):
        return error
    code, text = error.code, error.first
    if code == "DENIED":
        return NotFound(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may require "
            f"'docker login': {text}"
        )
    if code == "MANIFEST_UNKNOWN":
        return NotFound(f"manifest for {reference.familiar()} not found: {text}")
    if code == "NAME_UNKNOWN":
        return NotFound(f"repository {reference.familiar_name} not found: {text}")
    return error
