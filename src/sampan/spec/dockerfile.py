"""Dockerfile lines as changes of an image's config: what `import --change` and `commit --change` take.

    config = apply_changes(ContainerConfig(), ["CMD [\\"sh\\"]", "ENV A=1 B=$A"])

Docker's words: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD USER VOLUME WORKDIR, and beyond them SHELL
and STOPSIGNAL. Texts of errors are Docker's. Out of scope: everything that builds (FROM, RUN, COPY, …).
"""

from __future__ import annotations

import json
import posixpath
import signal as signals
from collections.abc import Callable, Sequence

import msgspec

from sampan.errors import InvalidParameter
from sampan.spec.container import ContainerConfig, HealthConfig
from sampan.spec.durations import parse_duration
from sampan.spec.words import expand, split_words

_DEFAULT_SHELL = ("/bin/sh", "-c")


def apply_changes(config: ContainerConfig, changes: Sequence[str]) -> ContainerConfig:
    """A changed copy of `config`. Raises InvalidParameter."""
    result = msgspec.structs.replace(config)
    instructions = _instructions("\n".join(changes))
    if changes and not instructions:
        raise InvalidParameter("file with no instructions")
    for word, rest in instructions:
        handler = _HANDLERS.get(word.upper())
        if handler is None:
            raise InvalidParameter(f"{word.lower()} is not a valid change command")
        handler(result, rest)
    return result


def _instructions(text: str) -> list[tuple[str, str]]:
    """`(word, rest)` of every instruction; a line that ends in a backslash goes on in the next."""
    found: list[tuple[str, str]] = []
    pending = ""
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.endswith("\\"):
            pending += line.rstrip()[:-1]
            continue
        found.append(_head(pending + line))
        pending = ""
    if pending.strip():
        found.append(_head(pending))
    return found


def _command(config: ContainerConfig, rest: str) -> list[str]:
    """The JSON form as it is, anything else for the shell."""
    words = _json_words(rest)
    return (
        words
        if words is not None
        else [*(config.shell or _DEFAULT_SHELL), *([rest] if rest else [])]
    )


def _json_words(rest: str) -> list[str] | None:
    if not rest.startswith("["):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(rest)  # what follows the list is ignored, as in Go
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return None
    return value


def _cmd(config: ContainerConfig, rest: str) -> None:
    config.cmd = _command(config, rest)


def _entrypoint(config: ContainerConfig, rest: str) -> None:
    config.entrypoint = _command(config, rest) if rest else None


def _env(config: ContainerConfig, rest: str) -> None:
    environment = list(config.env or [])
    for name, value in _pairs("ENV", config, rest):
        names = [entry.partition("=")[0] for entry in environment]
        if name in names:
            environment[names.index(name)] = f"{name}={value}"
        else:
            environment.append(f"{name}={value}")
    config.env = environment


def _label(config: ContainerConfig, rest: str) -> None:
    config.labels = {**(config.labels or {}), **dict(_pairs("LABEL", config, rest))}


def _pairs(word: str, config: ContainerConfig, rest: str) -> list[tuple[str, str]]:
    """`NAME=VALUE …`, or the old form `NAME the rest`."""
    words = split_words(rest)
    if not words:
        raise InvalidParameter(f"{word} requires at least one argument")
    if "=" not in words[0]:
        name, value = _head(rest)
        if not value:
            raise InvalidParameter(f"{word} must have two arguments")
        pairs = [(name, value)]
    else:
        pairs = []
        for item in words:
            name, equals, value = item.partition("=")
            if not equals:
                raise InvalidParameter(
                    f'Syntax error - can\'t find = in "{item}". Must be of the form: name=value'
                )
            pairs.append((name, value))
    expanded = [(_expand(config, name), _expand(config, value)) for name, value in pairs]
    if not all(name for name, _ in expanded):
        raise InvalidParameter(f"{word} names can not be blank")
    return expanded


def _head(text: str) -> tuple[str, str]:
    """The first word and what follows it."""
    parts = text.split(None, 1)
    return parts[0], parts[1].strip() if len(parts) > 1 else ""


def _expose(config: ContainerConfig, rest: str) -> None:
    if not rest:
        raise InvalidParameter("EXPOSE requires at least one argument")
    ports = dict(config.exposed_ports or {})
    for word in rest.split():
        for port in _ports(_expand(config, word)):
            ports[port] = {}
    config.exposed_ports = ports


def _ports(text: str) -> list[str]:
    """`[[ip:]host:]port[-port][/protocol]`, of which only the container's side counts."""
    if not text:
        return []
    ports, slash, protocol = text.partition("/")
    ports = ports.rpartition(":")[2]
    protocol = protocol.lower() if slash and protocol else "tcp"
    first, dash, last = ports.partition("-")
    if not all(part.isdigit() and part.isascii() for part in ([first, last] if dash else [first])):
        raise InvalidParameter(f"Invalid containerPort: {ports}")
    low, high = int(first), int(last if dash else first)
    if not low <= high <= 65535:
        raise InvalidParameter(f"Invalid containerPort: {ports}")
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidParameter(f"Invalid proto: {protocol}")
    return [f"{port}/{protocol}" for port in range(low, high + 1)]


def _user(config: ContainerConfig, rest: str) -> None:
    config.user = _expand(config, _one("USER", rest))


def _volume(config: ContainerConfig, rest: str) -> None:
    words = _json_words(rest)
    words = rest.split() if words is None else words
    if not words:
        raise InvalidParameter("VOLUME requires at least one argument")
    volumes = dict(config.volumes or {})
    for word in words:
        path = _expand(config, word).strip()
        if not path:
            raise InvalidParameter("VOLUME specified can not be an empty string")
        volumes[path] = {}
    config.volumes = volumes


def _workdir(config: ContainerConfig, rest: str) -> None:
    path = _expand(config, _one("WORKDIR", rest))
    if not path.startswith("/"):
        path = posixpath.normpath(posixpath.join("/", config.working_dir, path))
    config.working_dir = path


def _stopsignal(config: ContainerConfig, rest: str) -> None:
    words = rest.split()
    if len(words) != 1:
        raise InvalidParameter("STOPSIGNAL requires exactly one argument")
    signal = _expand(config, words[0])
    name = signal.upper().removeprefix("SIG")
    if not (signal.isdigit() and 0 < int(signal) <= 64) and not _is_signal(name):
        raise InvalidParameter(f"Invalid signal: {signal}")
    config.stop_signal = signal


def _is_signal(name: str) -> bool:
    base, _, number = name.partition("+") if "+" in name else name.partition("-")
    if base in ("RTMIN", "RTMAX"):
        return name == base or (number.isdigit() and int(number) <= 15)
    return f"SIG{name}" in signals.Signals.__members__


def _shell(config: ContainerConfig, rest: str) -> None:
    words = _json_words(rest)
    if words is None:
        raise InvalidParameter("SHELL requires the arguments to be in JSON form")
    if not words:
        raise InvalidParameter("SHELL requires at least one argument")
    config.shell = words


def _onbuild(config: ContainerConfig, rest: str) -> None:
    if not rest:
        raise InvalidParameter("ONBUILD requires at least one argument")
    word = _head(rest)[0].upper()
    if word == "ONBUILD":
        raise InvalidParameter("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if word in ("FROM", "MAINTAINER"):
        raise InvalidParameter(f"{word} isn't allowed as an ONBUILD trigger")
    config.on_build = [*(config.on_build or []), rest]


def _healthcheck(config: ContainerConfig, rest: str) -> None:
    flags, rest = _flags(rest)
    if not rest:
        raise InvalidParameter("HEALTHCHECK requires at least one argument")
    kind, command = _head(rest)
    if kind.upper() == "NONE":
        if command:
            raise InvalidParameter("HEALTHCHECK NONE takes no arguments")
        config.healthcheck = HealthConfig(test=["NONE"])
        return
    if kind.upper() != "CMD":
        raise InvalidParameter(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    if not command:
        raise InvalidParameter("Missing command after HEALTHCHECK CMD")
    words = _json_words(command)
    test = ["CMD", *words] if words is not None else ["CMD-SHELL", command]
    health = HealthConfig(test=test)
    health.interval = _interval(flags, "interval")
    health.timeout = _interval(flags, "timeout")
    health.start_period = _interval(flags, "start-period")
    health.start_interval = _interval(flags, "start-interval")
    health.retries = _retries(flags.get("retries", ""))
    config.healthcheck = health


def _flags(rest: str) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    while rest.startswith("--"):
        word, rest = _head(rest)
        name, equals, value = word[2:].partition("=")
        if name not in ("interval", "timeout", "start-period", "start-interval", "retries"):
            raise InvalidParameter(f"Unknown flag: {name}")
        if not equals:
            raise InvalidParameter(f"Missing a value on flag: {name}")
        if name in flags:
            raise InvalidParameter(f"Duplicate flag specified: {name}")
        flags[name] = value
    return flags, rest


def _interval(flags: dict[str, str], name: str) -> int:
    """Nanoseconds; 0 when the flag is not there or empty."""
    if not flags.get(name):
        return 0
    value = parse_duration(flags[name])
    if value < 1_000_000:
        raise InvalidParameter(f'Interval "{name}" cannot be less than 1ms')
    return value


def _retries(text: str) -> int:
    if not text:
        return 0
    digits = text.removeprefix("-").removeprefix("+")
    if not digits.isdigit() or not digits.isascii():
        raise InvalidParameter(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if not 1 <= int(text) < 1 << 31:
        raise InvalidParameter(f"--retries must be at least 1 (not {int(text)})")
    return int(text)


def _one(word: str, rest: str) -> str:
    if not rest:
        raise InvalidParameter(f"{word} requires exactly one argument")
    return rest


def _expand(config: ContainerConfig, word: str) -> str:
    environment = dict(entry.partition("=")[::2] for entry in config.env or [])
    return expand(word, environment)


_HANDLERS: dict[str, Callable[[ContainerConfig, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
