"""Kinds of values that only `run` and `create` know; validated while the command line is read."""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from sampan.cli.kinds import Kind, parse_int, parse_uint
from sampan.cli.units import parse_bytes
from sampan.spec.sysctls import namespace_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RATE = "The correct format is <device-path>:<number>"
_ULIMITS_WORDS = """\
core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime
sigpending stack
"""
_ULIMITS = frozenset(_ULIMITS_WORDS.split())
_ALNUM = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def parse_attach(text: str) -> str:
    if text.lower() in ("stdin", "stdout", "stderr"):
        return text.lower()
    raise ValueError("valid streams are STDIN, STDOUT and STDERR")


def parse_weight_device(text: str) -> dict[str, Any]:
    path, weight = _device_rule(text)
    try:
        value = parse_uint(weight, 16)
    except ValueError:
        value = 1
    if value and not 10 <= value <= 1000:
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": value}


def parse_rate_bps(text: str) -> dict[str, Any]:
    path, rate = _device_rule(text)
    try:
        return {"Path": path, "Rate": parse_bytes(rate)}
    except ValueError:
        raise ValueError(
            f"invalid rate for device: {text}. {_RATE}[<unit>]. Number must be a positive integer. "
            "Unit is optional and can be kb, mb, or gb"
        ) from None


def parse_rate_iops(text: str) -> dict[str, Any]:
    path, rate = _device_rule(text)
    try:
        return {"Path": path, "Rate": parse_uint(rate)}
    except ValueError:
        raise ValueError(
            f"invalid rate for device: {text}. {_RATE}. Number must be a positive integer"
        ) from None


def parse_address(text: str) -> str:
    """An IP address in its shortest form."""
    stripped = text.strip()
    for family in (AF_INET, AF_INET6):
        try:
            packed = inet_pton(family, stripped)
        except (OSError, ValueError):
            continue
        if family == AF_INET6 and packed[:12] == b"\0" * 10 + b"\xff\xff":
            return inet_ntop(AF_INET, packed[12:])
        return inet_ntop(family, packed)
    raise ValueError(f"IP address is not correctly formatted: {text}")


def parse_search_domain(text: str) -> str:
    domain = text.strip(" ")
    if domain == ".":
        return domain
    plain = domain.rstrip("\t\n\f\r ").removesuffix(".")
    labels = plain.split(".")
    if len(domain) < 255 and any(c.isalpha() for c in domain) and all(map(_is_label, labels)):
        return plain
    raise ValueError(f"{domain} is not a valid domain")


def parse_cgroup_rule(text: str) -> str:
    """`c 1:* rwm`"""
    fields = text.split(" ")
    if len(fields) == 3 and fields[0] in ("a", "b", "c"):
        major, colon, minor = fields[1].partition(":")
        numbers = colon and all(n == "*" or (n.isdigit() and n.isascii()) for n in (major, minor))
        if numbers and 1 <= len(fields[2]) <= 3 and set(fields[2]) <= set("rwm"):
            return text
    raise ValueError(f"invalid device cgroup format '{text}'")


def parse_env(text: str) -> str:
    """A bare name takes its value from our own environment."""
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if not equals and name in os.environ:
        return f"{name}={os.environ[name]}"
    return text


def parse_extra_host(text: str) -> str:
    """`name:address` or `name=address`, IPv6 with or without brackets; `host-gateway` is an address."""
    from sampan.spec.goquote import go_quote

    equals = "=" in text
    name, separator, address = text.partition("=" if equals else ":")
    if not separator or not name:
        raise ValueError(f"bad format for add-host: {go_quote(text)}")
    if address == "host-gateway":
        return f"{name}:{address}"
    if len(address) > 2 and address[0] == "[" and address[-1] == "]":
        address = address[1:-1]
    try:
        parse_address(address)
    except ValueError:
        raise ValueError(f"invalid IP address in add-host: {go_quote(address)}") from None
    return f"{name}:{address}"


def parse_label(text: str) -> str:
    name = text.partition("=")[0]
    if not name.strip():
        raise ValueError(f"invalid label '{text}': empty name")
    if any(c.isspace() for c in name):
        raise ValueError(f"label '{name}' contains whitespaces")
    return text


def parse_link(text: str) -> str:
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def parse_sysctl(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if equals and namespace_of(name) in ("ipc", "network"):
        return name, value
    raise ValueError(f"sysctl '{text}' is not allowed")


def parse_pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def parse_ulimit(text: str) -> dict[str, Any]:
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in _ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    values = limits.split(":")
    if len(values) > 2:
        raise ValueError(
            f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
        )
    soft = parse_int(values[0], 10)
    hard = parse_int(values[1], 10) if len(values) == 2 else soft
    if hard != -1 and (soft > hard or soft == -1):
        relation = f"soft: -1 (unlimited), hard: {hard}" if soft == -1 else f"{soft} > {hard}"
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {relation}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def parse_swap(text: str) -> int:
    return -1 if text == "-1" else parse_bytes(text)


def parse_cpus(text: str) -> int:
    """Billionths of a processor, from a decimal or a fraction: exact, or an error."""
    numerator, slash, denominator = text.partition("/")
    try:
        top, scale = _decimal(numerator)
        bottom = int(denominator) if slash else 1
        if bottom <= 0:
            raise ValueError
    except ValueError:
        raise ValueError(f"failed to parse {text} as a rational number") from None
    unit: int = 10 ** max(-scale, 0)
    scaled: int = top * 10 ** (9 + max(scale, 0))
    nano, rest = divmod(scaled, bottom * unit)
    if rest:
        raise ValueError("value is too precise")
    return nano


def _decimal(text: str) -> tuple[int, int]:
    """Digits and decimal exponent of `-1.5e3`."""
    if text[:2].lower() in ("0x", "0o", "0b"):
        return int(text, 0), 0
    mantissa, marker, exponent = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    if (marker and not exponent) or not (whole + fraction).isascii():
        raise ValueError
    if not (whole.lstrip("+-") + fraction).isdigit() or len(exponent) > 4:
        raise ValueError
    return int(whole + fraction), int(exponent or 0) - len(fraction)


def _device_rule(text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not path:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, value


def _is_label(label: str) -> bool:
    return (
        bool(label)
        and label[0] != "-"
        and label[-1] != "-"
        and set(label.replace("-", "")) <= _ALNUM
    )


ATTACH = Kind("list", parse_attach, many=True)
WEIGHT_DEVICE = Kind("list", parse_weight_device, many=True)
RATE_BPS = Kind("list", parse_rate_bps, many=True)
RATE_IOPS = Kind("list", parse_rate_iops, many=True)
ADDRESS = Kind("list", parse_address, many=True)
SEARCH_DOMAIN = Kind("list", parse_search_domain, many=True)
CGROUP_RULE = Kind("list", parse_cgroup_rule, many=True)
ENV = Kind("list", parse_env, many=True)
EXTRA_HOST = Kind("list", parse_extra_host, many=True)
LABEL = Kind("list", parse_label, many=True)
LINK = Kind("list", parse_link, many=True)
SYSCTL = Kind("map", parse_sysctl, many=True)
PAIR = Kind("map", parse_pair, many=True)
ULIMIT = Kind("ulimit", parse_ulimit, many=True)
SWAP = Kind("bytes", parse_swap)
CPUS = Kind("decimal", parse_cpus)
