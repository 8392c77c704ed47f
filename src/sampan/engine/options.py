"""`sampand`'s command line: what docker's daemon takes, as far as it makes sense here. Standard library only,
because it is read before anything heavy is imported.

The result is a dict by daemon.json's keys with only what was given, which `config.merge` puts together with
the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class UsageError(Exception):
    """Text for stderr; the exit status is 125, as dockerd's."""


class Option(NamedTuple):
    names: tuple[str, ...]
    key: str  # of daemon.json; "" for what is none
    kind: str  # "text", "number", "switch", "list", "map", "lists", "maps", "ulimit", "runtime"
    help: str


OPTIONS = (
    Option(("-H", "--host"), "hosts", "list", "Socket to listen on: unix:///path or fd://"),
    Option(("-G", "--group"), "group", "text", "Group of the unix socket (docker, else sampan)"),
    Option(("--data-root", "-g"), "data-root", "text", "Images, containers and volumes"),
    Option(("--exec-root",), "exec-root", "text", "State of what runs"),
    Option(("-p", "--pidfile"), "pidfile", "text", "File for the daemon's process id"),
    Option(("--config-file",), "", "text", "Configuration file (/etc/sampan/daemon.json)"),
    Option(("--bip",), "bip", "text", "Address and subnet of the default bridge, 10.1.0.1/16"),
    Option(("-b", "--bridge"), "bridge", "text", 'Name of the bridge, or "none"'),
    Option(("--fixed-cidr",), "fixed-cidr", "text", "Part of the subnet that containers get"),
    Option(("--mtu",), "mtu", "number", "MTU of containers' networks"),
    Option(("--icc",), "icc", "switch", "Containers of the default bridge may talk to each other"),
    Option(
        ("--default-address-pool",),
        "default-address-pools",
        "pool",
        "base=CIDR,size=BITS: where networks get their subnets",
    ),
    Option(("--ipv6",), "ipv6", "switch", "IPv6 on the default bridge as well"),
    Option(("--fixed-cidr-v6",), "fixed-cidr-v6", "text", "The default bridge's IPv6 subnet"),
    Option(
        ("--host-gateway-ip",),
        "host-gateway-ips",
        "list",
        "What host-gateway of --add-host stands for; one of each family",
    ),
    Option(
        ("--default-network-opt",),
        "default-network-opts",
        "maps",
        "DRIVER=OPTION=VALUE of networks that do not say otherwise",
    ),
    Option(("--publish-mode",), "publish-mode", "text", "docker, or host: INPUT rules decide"),
    Option(("--ip-forward",), "ip-forward", "switch", "Switch on forwarding for the bridge"),
    Option(("--ip-masq",), "ip-masq", "switch", "Masquerade what leaves the bridge's subnet"),
    Option(("--dns",), "dns", "list", "Name server for containers"),
    Option(("--dns-opt",), "dns-opts", "list", "Resolver option for containers"),
    Option(("--dns-search",), "dns-search", "list", "Search domain for containers"),
    Option(("-D", "--debug"), "debug", "switch", "Log every step with its milliseconds"),
    Option(("-l", "--log-level"), "log-level", "text", "debug, info, warn, error or fatal"),
    Option(("--label",), "labels", "list", "key=value, shown by docker info"),
    Option(("--add-runtime",), "runtimes", "runtime", "NAME=PATH of another OCI runtime"),
    Option(("--default-runtime",), "default-runtime", "text", "Runtime of containers (sampan)"),
    Option(
        ("--full-stop-grace",),
        "full-stop-grace",
        "switch",
        "Let `stop` wait also for a first process that the signal cannot reach",
    ),
    Option(("--init",), "init", "switch", "Run an init in every container"),
    Option(("--init-path",), "init-path", "text", "The init's program"),
    Option(("--default-ulimit",), "default-ulimits", "ulimit", "name=soft[:hard] of containers"),
    Option(("--default-shm-size",), "default-shm-size", "text", "Size of /dev/shm"),
    Option(("--default-cgroupns-mode",), "default-cgroupns-mode", "text", "host or private"),
    Option(("--default-ipc-mode",), "default-ipc-mode", "text", "private or shareable"),
    Option(("--cgroup-parent",), "cgroup-parent", "text", "Cgroup above those of containers"),
    Option(("--exec-opt",), "exec-opts", "list", "native.cgroupdriver=cgroupfs"),
    Option(("--no-new-privileges",), "no-new-privileges", "switch", "For every container"),
    Option(("--seccomp-profile",), "seccomp-profile", "text", "File, builtin or unconfined"),
    Option(("--log-driver",), "log-driver", "text", "Of containers: json-file, local, none, …"),
    Option(("--log-opt",), "log-opts", "map", "key=value for the log driver"),
    Option(("-s", "--storage-driver"), "storage-driver", "text", "overlay2"),
    Option(
        ("--userns-remap",),
        "userns-remap",
        "text",
        "default or user[:group], whose ids containers have",
    ),
    Option(("--registry-mirror",), "registry-mirrors", "list", "URL asked first for docker.io"),
    Option(
        ("--registry-prefix-mirror",),
        "registry-prefix-mirrors",
        "lists",
        "PREFIX=URL asked first for names that begin so",
    ),
    Option(("--insecure-registry",), "insecure-registries", "list", "HOST[:PORT] or CIDR"),
    Option(("--max-concurrent-downloads",), "max-concurrent-downloads", "number", "Layers (3)"),
    Option(("--max-concurrent-uploads",), "max-concurrent-uploads", "number", "Layers (5)"),
    Option(("--max-download-attempts",), "max-download-attempts", "number", "Tries a layer (5)"),
    Option(("--http-proxy",), "http-proxy", "text", "Proxy for registries over HTTP"),
    Option(("--https-proxy",), "https-proxy", "text", "Proxy for registries over HTTPS"),
    Option(("--no-proxy",), "no-proxy", "text", "Hosts without a proxy, comma separated"),
    Option(("--shutdown-timeout",), "shutdown-timeout", "number", "Accepted; containers go on"),
    Option(("--live-restore",), "live-restore", "switch", "Always so"),
    Option(("-v", "--version"), "", "switch", "Say the version and end"),
    Option(("-h", "--help"), "", "switch", "Say this and end"),
)
_BY_NAME = {name: option for option in OPTIONS for name in option.names}
_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")


class Arguments(NamedTuple):
    directives: dict[str, Any]
    config_file: str | None
    version: bool
    help: bool


def parse(words: Sequence[str]) -> Arguments:
    """`--name=value`, `--name value`, `-Nvalue`, switches with or without `=true`. Raises UsageError."""
    directives: dict[str, Any] = {}
    others: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, value = _split(word)
        option = _BY_NAME.get(name)
        if option is None:
            raise UsageError(_unknown(word))
        if value is None:
            value = "true" if option.kind == "switch" else _next(rest, name)
        target = directives if option.key else others
        _put(target, option, option.key or option.names[-1], name, value)
    return Arguments(
        directives,
        others.get("--config-file"),
        bool(others.get("--version")),
        bool(others.get("--help")),
    )


def _split(word: str) -> tuple[str, str | None]:
    if word.startswith("--"):
        name, separator, value = word.partition("=")
        return name, value if separator else None
    if word.startswith("-") and len(word) > 2:
        value = word[2:]
        return word[:2], value.removeprefix("=")
    return word, None


def _unknown(word: str) -> str:
    if word.startswith("--"):
        return f"unknown flag: {word.partition('=')[0]}"
    if word.startswith("-") and len(word) > 1:
        return f"unknown shorthand flag: '{word[1]}' in {word}"
    return f'"sampand" accepts no arguments, got {word!r}'


def _next(rest: list[str], name: str) -> str:
    if not rest:
        text = f"'{name[1]}' in {name}" if len(name) == 2 else name
        raise UsageError(f"flag needs an argument: {text}")
    return rest.pop(0)


def _put(target: dict[str, Any], option: Option, key: str, name: str, value: str) -> None:
    match option.kind:
        case "text":
            target[key] = value
        case "number":
            try:
                target[key] = int(value)
            except ValueError:
                raise UsageError(
                    f'invalid argument "{value}" for "{name}" flag: not a number'
                ) from None
        case "switch":
            if value not in _TRUE + _FALSE:
                raise UsageError(f'invalid argument "{value}" for "{name}" flag: not a boolean')
            target[key] = value in _TRUE
        case "list":
            target.setdefault(key, []).append(value)
        case "map":
            word, _, text = value.partition("=")
            target.setdefault(key, {})[word] = text
        case "runtime":
            word, _, text = value.partition("=")
            if not word.strip() or not text.strip():
                raise UsageError(
                    f'invalid argument "{value}" for "{name}" flag: invalid runtime {value}'
                )
            target.setdefault(key, {})[word.strip()] = {"path": text.strip()}
        case "lists":
            word, _, text = value.partition("=")
            target.setdefault(key, {}).setdefault(word, []).append(text)
        case "maps":
            word, _, text = value.partition("=")
            name_, equals, inner = text.partition("=")
            if not word or not name_ or not equals:
                raise UsageError(
                    f'invalid argument "{value}" for "{name}" flag: not DRIVER=OPTION=VALUE'
                )
            target.setdefault(key, {}).setdefault(word, {})[name_] = inner
        case "pool":
            target.setdefault(key, []).append(_pool(name, value))
        case "ulimit":
            limit = _ulimit(name, value)
            target.setdefault(key, {})[limit["Name"]] = limit


def _ulimit(name: str, value: str) -> dict[str, Any]:
    kind, _, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        return {"Name": kind, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise UsageError(
            f'invalid argument "{value}" for "{name}" flag: not name=soft[:hard]'
        ) from None


def _pool(name: str, value: str) -> dict[str, Any]:
    fields = dict(word.split("=", 1) for word in value.split(",") if "=" in word)
    try:
        return {"base": fields["base"], "size": int(fields["size"])}
    except (KeyError, ValueError):
        raise UsageError(
            f'invalid argument "{value}" for "{name}" flag: not base=CIDR,size=BITS'
        ) from None


def usage() -> str:
    lines = [
        "Usage:  sampand [OPTIONS]",
        "",
        "A container engine that speaks Docker's API.",
        "",
        "Options:",
    ]
    for option in OPTIONS:
        short = [name for name in option.names if len(name) == 2]
        long = [name for name in option.names if len(name) > 2]
        lines.append(f"  {', '.join(short + long):<28}  {option.help}")
    return "\n".join(lines) + "\n"
