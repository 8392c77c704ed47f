"""The messages between the daemon and a monitor, version 1.

    daemon → monitor                                     monitor → daemon
    (spawned; args as `Arguments`)                       created {pid, start_time, warnings} + [pidfd]
                                                         failed {message, step, path, errno, exit_code}
    attach {stdin, stdout, stderr, multiplexed,
            detach_keys, prefetched, stall_timeout,
            exec_id?} + [client]                         detached {exec_id?}
    wait {removal, chunked} + [client]
    start {}                                             started {started_at} | failed {…}
                                                         oom {}
    expect_exec {}                                        (none: the next exec is quicker)
    exec {exec_id, process, terminal, open_stdin,
          console_size, attach?, timeout?,
          die_with_client?} + [client?]                  exec_started {exec_id, pid}
                                                         exec_failed {exec_id, message, exit_code}
                                                         exec_exit {exec_id, exit_code, reason?}
    kill {request, signal, exec_id?, all?}               reply {request, error?, errno?}
    pause · resume {request}                             reply …
    resize {request, rows, columns, exec_id?}            reply …
    update {request, resources}                          reply {…, warnings}
    state {request}                                      reply {…, state}
                                                         exit {exit_code, signal, oom_killed, finished_at, …}
    delete {}                                            EOF

Events (`exit exec_exit detached oom`) go to every connection; the others to the one that asked. A
message that is not understood, or not now, is answered by `error {message, about, exec_id?}` (by its reply,
if it has a `request`), which names what was expected. EOF means that the peer is gone. A reader ignores
fields that it does not know; a field is never given a new meaning.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sampan.errors import ProtocolError
from sampan.spec.mount import Mount
from sampan.wire import detach

VERSION = 1

Message = dict[str, Any]
Size = tuple[int, int]

_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "attach": {},
    "wait": {"removal": bool, "chunked": bool},
    "start": {},
    "expect_exec": {},
    "exec": {"exec_id": str, "process": dict},
    "kill": {"request": int, "signal": int},
    "pause": {"request": int},
    "resume": {"request": int},
    "resize": {"request": int, "rows": int, "columns": int},
    "update": {"request": int, "resources": dict},
    "state": {"request": int},
    "delete": {},
}


def kind_of(message: Message) -> str:
    """The checked `type` of a message to a monitor. Raises ProtocolError."""
    kind = message.get("type")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise ProtocolError(f"expected one of {', '.join(_FIELDS)}, got {kind!r}")
    for name, wanted in fields.items():
        _field(message, name, wanted, str(kind))
    return str(kind)


def _field(
    message: Mapping[str, Any], name: str, wanted: type | tuple[type, ...], where: str
) -> Any:
    value = message.get(name)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is int):
        names = wanted if isinstance(wanted, tuple) else (wanted,)
        expected = " or ".join(each.__name__ for each in names)
        raise ProtocolError(f"{where}: expected {name} to be {expected}, got {value!r}")
    return value


def size_of(message: Mapping[str, Any], name: str = "console_size") -> Size | None:
    """Rows and columns, or None."""
    value = message.get(name)
    if value is None:
        return None
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or not all(isinstance(number, int) and 0 <= number <= 0xFFFF for number in value)
    ):
        raise ProtocolError(f"expected {name} to be [rows, columns], got {value!r}")
    return (value[0], value[1])


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What a client wants. `prefetched`: what was already read from it. `stall_timeout`: it is cut when
    it takes nothing for so many seconds while output waits; 0: never."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    multiplexed: bool = False
    detach_keys: str | None = None
    prefetched: bytes = b""
    stall_timeout: float = 0

    def to_message(self) -> Message:
        message: Message = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}
        message["multiplexed"] = self.multiplexed
        if self.detach_keys is not None:
            message["detach_keys"] = self.detach_keys
        if self.prefetched:
            message["prefetched"] = base64.b64encode(self.prefetched).decode("ascii")
        if self.stall_timeout:
            message["stall_timeout"] = self.stall_timeout
        return message

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> AttachOptions:
        keys = message.get("detach_keys")
        try:
            prefetched = base64.b64decode(message.get("prefetched") or "", validate=True)
            detach.parse(keys if keys is not None else "")
        except (binascii.Error, ValueError, TypeError, AttributeError) as error:
            raise ProtocolError(f"attach: {error}") from None
        timeout = message.get("stall_timeout") or 0
        return cls(
            stdin=message.get("stdin") is True,
            stdout=message.get("stdout") is True,
            stderr=message.get("stderr") is True,
            multiplexed=message.get("multiplexed") is True,
            detach_keys=keys,
            prefetched=prefetched,
            stall_timeout=float(timeout) if isinstance(timeout, int | float) else 0,
        )


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """`removal`: the client wants to know of the removal, not of the exit. `chunked`: its answer is sent in chunks."""

    removal: bool
    chunked: bool

    def to_message(self) -> Message:
        return {"removal": self.removal, "chunked": self.chunked}

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> WaitOptions:
        return cls(removal=message["removal"], chunked=message["chunked"])


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """`protocol`: tcp, tcp+tls, udp, unix, unixgram; `host`: in numbers, or a path."""

    protocol: str
    host: str
    port: int = 0

    def shown(self) -> str:
        if self.protocol.startswith("unix"):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def to_message(self) -> Message:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RemoteLog:
    """A log that is sent away: `driver` is syslog, journald or fluentd. Times in seconds, sizes in bytes."""

    driver: str
    address: Message
    tag: str = ""
    container_id: str = ""
    container_name: str = ""
    image_name: str = ""
    host_name: str = ""
    facility: int = 3
    format: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    buffer_limit: int = 1 << 20
    retry_wait: float = 1.0
    max_retries: int = 0  # 0: for ever
    sub_second: bool = False
    request_ack: bool = False
    tls: Message = field(default_factory=dict)
    """Of tcp+tls: `server_name`; paths `ca certificate key`, "" for none; `skip_verify`."""

    def to_message(self) -> Message:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`max_size` in bytes and `max_file` as Docker's; 0: no limit, no rotation. `attributes` go into every line
    of the file. `blocking`: the container waits for a remote log that does not keep up."""

    driver: str = "none"
    path: str = ""
    max_size: int = 0
    max_file: int = 1
    compress: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    remote: RemoteLog | None = None
    blocking: bool = True

    def to_message(self) -> Message:
        return {
            "driver": self.driver,
            "path": self.path,
            "max_size": self.max_size,
            "max_file": self.max_file,
            "compress": self.compress,
            "attributes": dict(self.attributes),
            "remote": self.remote.to_message() if self.remote else None,
            "blocking": self.blocking,
        }

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> LogOptions:
        driver = message.get("driver", "none")
        if driver not in ("none", "json-file"):
            raise ProtocolError(f"expected log driver json-file or none, got {driver!r}")
        return cls(
            driver=driver,
            path=str(message.get("path") or ""),
            max_size=int(message.get("max_size") or 0),
            max_file=int(message.get("max_file") or 1),
            compress=message.get("compress") is True,
            attributes=dict(message.get("attributes") or {}),
            remote=_remote(message.get("remote")),
            blocking=message.get("blocking") is not False,
        )


def _remote(message: object) -> RemoteLog | None:
    """Fields that this version does not know are left out."""
    if not isinstance(message, dict):
        return None
    known = {each.name for each in fields(RemoteLog)}
    return RemoteLog(**{key: value for key, value in message.items() if key in known})


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a monitor is spawned with; `namespaces` are the kinds of the descriptors after the channel.

    `seccomp` is the compiled filter, when the daemon has it; else it is compiled from config.json.
    `runtime` is another OCI runtime's program and first arguments; empty for our own.
    """

    id: str
    directory: str
    root: tuple[Mount, ...] = ()
    namespaces: tuple[str, ...] = ()
    terminal: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    console_size: Size | None = None
    log: LogOptions = LogOptions()
    title: str = ""
    seccomp: bytes | None = None
    runtime: tuple[str, ...] = ()
    version: int = VERSION

    def to_message(self) -> Message:
        return {
            "version": self.version,
            "id": self.id,
            "directory": self.directory,
            "root": [list(mount) for mount in self.root],
            "namespaces": list(self.namespaces),
            "terminal": self.terminal,
            "open_stdin": self.open_stdin,
            "stdin_once": self.stdin_once,
            "console_size": self.console_size,
            "log": self.log.to_message(),
            "title": self.title,
            "seccomp": encode_filter(self.seccomp),
            "runtime": list(self.runtime),
        }

    @classmethod
    def from_message(cls, args: Mapping[str, Any]) -> Arguments:
        """Raises ProtocolError when the daemon speaks another version or leaves something out."""
        version = args.get("version")
        if version != VERSION:
            raise ProtocolError(
                f"expected version {VERSION} of the monitor's args, got {version!r}"
            )
        root = _field(args, "root", list, "args")
        return cls(
            id=_field(args, "id", str, "args"),
            directory=_field(args, "directory", str, "args"),
            root=tuple(Mount(kind, source, tuple(opts), at) for kind, source, opts, at in root),
            namespaces=tuple(_field(args, "namespaces", list, "args")),
            terminal=args.get("terminal") is True,
            open_stdin=args.get("open_stdin") is True,
            stdin_once=args.get("stdin_once") is True,
            console_size=size_of(args),
            log=LogOptions.from_message(_field(args, "log", dict, "args")),
            title=str(args.get("title") or ""),
            seccomp=decode_filter(args.get("seccomp")),
            runtime=tuple(str(word) for word in args.get("runtime") or ()),
        )


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """One exec: `process` is OCI's. Without `attach` nobody listens, and its stdio is /dev/null.

    It is killed, with all that it has started, after `timeout` seconds (0: never), and with
    `die_with_client` when its client's connection is closed.
    """

    exec_id: str
    process: dict[str, Any]
    terminal: bool = False
    open_stdin: bool = False
    console_size: Size | None = None
    attach: AttachOptions | None = None
    seccomp: bytes | None = None
    timeout: float = 0
    die_with_client: bool = False

    def to_message(self) -> Message:
        message: Message = {
            "type": "exec",
            "exec_id": self.exec_id,
            "process": self.process,
            "terminal": self.terminal,
            "open_stdin": self.open_stdin,
            "console_size": self.console_size,
            "seccomp": encode_filter(self.seccomp),
            "timeout": self.timeout,
            "die_with_client": self.die_with_client,
        }
        if self.attach is not None:
            message["attach"] = self.attach.to_message()
        return message

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> ExecOptions:
        attach = message.get("attach")
        return cls(
            exec_id=str(message["exec_id"]),
            process=message["process"],
            terminal=message.get("terminal") is True,
            open_stdin=message.get("open_stdin") is True,
            console_size=size_of(message),
            attach=AttachOptions.from_message(attach) if isinstance(attach, dict) else None,
            seccomp=decode_filter(message.get("seccomp")),
            timeout=float(message.get("timeout") or 0),
            die_with_client=message.get("die_with_client") is True,
        )


def encode_filter(program: bytes | None) -> str | None:
    return None if program is None else base64.b64encode(program).decode("ascii")


def decode_filter(text: object) -> bytes | None:
    if text is None:
        return None
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise ProtocolError(f"seccomp: {error}") from None
