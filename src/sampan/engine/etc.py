"""A container's `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`: their texts. Pure but for `write_in_place`.

The files are bind-mounted, so they are rewritten in place and never replaced.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence

from sampan.spec.container import ContainerConfig, HostConfig

LOOPBACK = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
# dockerd's, for a host whose only name server is one of its own loopback
PUBLIC_NAME_SERVERS = ("8.8.8.8", "8.8.4.4")
STUB = "127.0.0.53"  # systemd-resolved, which keeps the real list beside
RESOLVED_CONF = "/run/systemd/resolve/resolv.conf"


def hostname_file(config: ContainerConfig) -> str:
    return config.hostname + "\n"


def hosts_file(
    config: ContainerConfig, host: HostConfig, *, address: str, gateway: str, host_hosts: str | None
) -> str:
    """`address` is empty without a network of its own; `host_hosts` is the host's file, for the host's network."""
    lines = [LOOPBACK if host_hosts is None else _ended(host_hosts)]
    for entry in host.extra_hosts or []:
        name, _, target = entry.replace("=", ":", 1).partition(":")
        lines.append(f"{gateway if target == 'host-gateway' else target.strip('[]')}\t{name}\n")
    if address and config.hostname:
        names = config.hostname
        if config.domainname:
            names = f"{config.hostname}.{config.domainname} {config.hostname}"
        elif "." in config.hostname:
            names = f"{config.hostname} {config.hostname.partition('.')[0]}"
        lines.append(f"{address}\t{names}\n")
    return "".join(lines)


def resolv_conf(
    host_text: str,
    *,
    servers: Sequence[str],
    search: Sequence[str],
    options: Sequence[str],
    isolated: bool,
) -> str:
    """The host's file with what was asked for in its place; untouched when nothing was and nothing need be.

    `isolated`: in a network namespace of its own, where the host's loopback servers do not answer.
    """
    found = parse_resolv_conf(host_text)
    usable = [s for s in found["nameserver"] if not (isolated and _is_loopback(s))]
    if not (servers or search or options) and usable == found["nameserver"] and usable:
        return _ended(host_text)
    chosen = list(servers) or usable or list(PUBLIC_NAME_SERVERS)
    domains = [] if list(search) == ["."] else list(search) or found["search"]
    words = list(options) or found["options"]
    lines = [f"search {' '.join(domains)}"] if domains else []
    lines += [f"nameserver {server}" for server in chosen]
    lines += [f"options {' '.join(words)}"] if words else []
    return "\n".join(lines) + "\n"


def parse_resolv_conf(text: str) -> dict[str, list[str]]:
    """`nameserver`s in order; the last `search` (or `domain`) and all `options`, resolv.conf(5)."""
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in text.splitlines():
        key, *values = line.split() or [""]
        if key == "nameserver" and values:
            found["nameserver"].append(values[0])
        elif key in ("search", "domain"):
            found["search"] = values
        elif key == "options":
            found["options"] += values
    return found


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def host_resolv_conf() -> str:
    """The host's; behind systemd-resolved's stub, the list that it forwards to."""
    text = read_host_file("/etc/resolv.conf")
    if parse_resolv_conf(text)["nameserver"] == [STUB]:
        return read_host_file(RESOLVED_CONF) or text
    return text


def read_host_file(path: str) -> str:
    """Empty when it is missing."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 20)
    except FileNotFoundError:
        return ""


def write_in_place(path: str, text: str) -> None:
    """The same inode, so that a bind mount of it shows the new text."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o644)
        file.write(text.encode("utf-8", "surrogateescape"))
