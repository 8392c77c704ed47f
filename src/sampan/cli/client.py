"""The Engine API as the commands use it: version negotiation, paths, queries, errors as docker words them.

One connection is kept for plain requests; streams (attach, exec, wait, events, logs) get their own.
"""

from __future__ import annotations

from sampan.cli.failure import DaemonError, Failure
from sampan.cli.http import Connection, Response
from sampan.cli.identity import API_VERSION, MINIMUM_API_VERSION, user_agent
from sampan.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from sampan.cli.address import Address

    Query = Mapping[str, str | int | bool | list[str] | None]

_ERROR_LIMIT = 1 << 20
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_PATH_SAFE = _SAFE | frozenset(b"$&+=:@,/")


class Client:
    """Talks to one daemon. `starter` is asked once to start it when nobody listens, and may decline."""

    def __init__(self, address: Address, starter: Callable[[], bool] | None = None) -> None:
        self.address = address
        self.version = ""
        self.server_os = ""
        self._starter = starter
        self._idle: Connection | None = None
        self._opened: list[Connection] = []

    def close(self) -> None:
        """Close every connection, streams included."""
        for connection in self._opened:
            connection.close()

    def negotiate(self) -> None:
        """Ask the daemon (`_ping`) for its version and take the smaller one; once."""
        if self.version:
            return
        response = self._exchange("HEAD", "/_ping")
        self.server_os = response.headers.get("ostype", "linux")
        offered = response.headers.get("api-version") or MINIMUM_API_VERSION
        self.version = min(offered, API_VERSION, key=version_key)

    def is_older(self, version: str) -> bool:
        """Whether the daemon speaks only versions before this one. Call `negotiate` first."""
        return version_key(self.version) < version_key(version)

    def get(self, path: str, query: Query | None = None) -> Any:
        return jsontext.loads(self.call("GET", path, query).read())

    def get_text(self, path: str, query: Query | None = None) -> str:
        """The answer as it was sent, for output that must not be re-encoded."""
        return self.call("GET", path, query).read().decode("utf-8", "replace")

    def post(self, path: str, query: Query | None = None, body: Any = None) -> Any:
        """The answer's JSON; None when it has none."""
        text = self.call("POST", path, query, body=body).read()
        return jsontext.loads(text) if text.strip() else None

    def delete(self, path: str, query: Query | None = None) -> Any:
        text = self.call("DELETE", path, query).read()
        return jsontext.loads(text) if text.strip() else None

    def call(
        self, method: str, path: str, query: Query | None = None, *, body: Any = None
    ) -> Response:
        """A request on the shared connection. The answer must be read before the next call."""
        self.negotiate()
        data = None if body is None else jsontext.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        return self._checked(self._exchange(method, self._target(path, query), data, headers))

    def stream(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: Iterable[bytes] | bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """A request on a connection of its own, for bodies that take time in either direction."""
        self.negotiate()
        connection = self._open()
        target = self._target(path, query)
        return self._checked(connection.request(method, target, body=body, headers=headers))

    def hijack(self, path: str, query: Query | None = None, body: Any = None) -> Connection:
        """POST and take the connection over as a two-way stream."""
        self.negotiate()
        connection = self._open()
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = b"" if body is None else jsontext.dumps(body).encode()
        target = self._target(path, query)
        response = connection.request("POST", target, body=data, headers=headers)
        if response.status not in (101, 200):
            self._checked(response)
            raise Failure(f"unable to upgrade to tcp, received {response.status}")
        return connection

    def _target(self, path: str, query: Query | None) -> str:
        return f"/v{self.version}{path}{encode_query(query or {})}"

    def _exchange(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        if self._idle is None:
            self._idle = self._open()
        response = self._idle.request(method, target, body=body, headers=headers)
        if response.headers.get("connection", "").lower() == "close":
            self._idle = None
        return response

    def _open(self) -> Connection:
        starter, self._starter = self._starter, None
        try:
            sock = self.address.connect()
        except Failure:
            if starter is None or not starter():
                raise
            sock = self.address.connect()
        connection = Connection(sock, self.address.host_header, user_agent())
        self._opened.append(connection)
        return connection

    def _checked(self, response: Response) -> Response:
        if response.status < 400:
            return response
        body = response.read(_ERROR_LIMIT)
        raise DaemonError(_message(response, body), response.status)


def version_key(version: str) -> tuple[int, ...]:
    """`1.9` is older than `1.10`."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def encode_query(query: Query) -> str:
    """`?a=1&b=x` in the order of the names, as Go encodes; True is 1, None and False are left out."""
    pairs = []
    for name in sorted(query):
        value = query[name]
        if value is None or value is False:
            continue
        for item in value if isinstance(value, list) else [value]:
            text = "1" if item is True else str(item)
            pairs.append(f"{_quote(name, plus=True)}={_quote(text, plus=True)}")
    return "?" + "&".join(pairs) if pairs else ""


def segment(text: str) -> str:
    """A name as part of a path. Slashes stay: image names have them."""
    return _quote(text, safe=_PATH_SAFE)


def _quote(text: str, *, safe: frozenset[int] = _SAFE, plus: bool = False) -> str:
    data = text.encode("utf-8", "surrogateescape")
    if all(byte in safe for byte in data):
        return text
    return "".join(
        chr(byte) if byte in safe else "+" if plus and byte == 0x20 else f"%{byte:02X}"
        for byte in data
    )


def _message(response: Response, body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    if not text:
        return (
            f"request returned {response.status} {response.reason}, "
            "check if the server supports the requested API version"
        )
    if not response.headers.get("content-type", "").startswith("application/json"):
        return text.strip()
    try:
        message = jsontext.loads(text)["message"].strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return text.strip()
    empty = f"API returned a {response.status} ({response.reason}) but provided no error-message"
    return message or empty
