"""Log drivers and the options that each takes, checked in moby's words (`daemon/logger`). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sampan.engine import log_addresses
from sampan.errors import InvalidParameter
from sampan.spec.container import LogConfig
from sampan.spec.durations import parse_duration

DRIVERS = ("json-file", "local", "none", "syslog", "journald", "fluentd")
REMOTE = ("syslog", "journald", "fluentd")

_COMMON = frozenset(("mode", "max-buffer-size"))
_CACHE = frozenset(("cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"))
_CHOSEN = frozenset(("labels", "labels-regex", "env", "env-regex", "tag"))
_FILES = frozenset(("max-size", "max-file", "compress"))
OPTIONS: Mapping[str, frozenset[str]] = {
    "json-file": _FILES | _CHOSEN | _COMMON | _CACHE,
    "local": _FILES | _COMMON | _CACHE,
    "none": _COMMON,
    "syslog": _CHOSEN
    | _COMMON
    | _CACHE
    | {
        *("syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert"),
        *("syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"),
    },
    "journald": _CHOSEN | _COMMON | _CACHE,
    "fluentd": _CHOSEN
    | _COMMON
    | _CACHE
    | {
        *("fluentd-address", "fluentd-async", "fluentd-async-connect", "fluentd-buffer-limit"),
        *("fluentd-retry-wait", "fluentd-max-retries", "fluentd-sub-second-precision"),
        "fluentd-request-ack",
    },
}
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_SIZES = ("max-size", "cache-max-size", "max-buffer-size", "fluentd-buffer-limit")
_COUNTS = ("max-file", "cache-max-file")
_SWITCHES = (
    *("compress", "cache-disabled", "cache-compress", "fluentd-async", "fluentd-async-connect"),
    *("fluentd-sub-second-precision", "fluentd-request-ack"),
)
_SIZE = re.compile(r"\d{1,15}(\.\d{1,6})?([kmgt]?i?b?)", re.ASCII | re.IGNORECASE)


def check(config: LogConfig) -> None:
    """Raises InvalidParameter."""
    driver, options = config.type or "json-file", config.config or {}
    if driver not in DRIVERS:
        raise InvalidParameter(
            f'error looking up logging plugin {driver}: plugin "{driver}" not found'
        )
    for option in options:
        if option not in OPTIONS[driver]:
            where = "log driver local" if driver == "local" else f"{driver} log driver"
            raise InvalidParameter(f"unknown log opt '{option}' for {where}")
    _check_mode(options)
    for option, value in options.items():
        _check_value(option, value)
    if (
        int(options.get("max-file", "1")) > 1
        and driver == "json-file"
        and "max-size" not in options
    ):
        raise InvalidParameter("max-file cannot be used without max-size")
    if (
        driver == "json-file"
        and switch(options, "compress")
        and ("max-size" not in options or int(options.get("max-file", "1")) < 2)
    ):
        raise InvalidParameter(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )
    if driver == "syslog":
        log_addresses.check_syslog(options)
    if driver == "fluentd":
        log_addresses.fluentd_address(options)


def _check_mode(options: Mapping[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidParameter(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options and mode != "non-blocking":
        raise InvalidParameter(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
        )


def _check_value(option: str, value: str) -> None:
    if option in _SIZES and not (value == "-1" and option == "max-size"):
        if not _SIZE.fullmatch(value):
            raise InvalidParameter(f"invalid size: '{value}'")
    elif option in _COUNTS and not (value.isascii() and value.isdigit() and int(value[:9]) > 0):
        raise InvalidParameter(f"{option} cannot be less than 1")
    elif option in _SWITCHES and value and value not in _BOOLEANS:
        raise InvalidParameter(f'strconv.ParseBool: parsing "{value}": invalid syntax')
    elif option == "fluentd-retry-wait":
        parse_duration(value)
    elif option == "fluentd-max-retries" and not (value.isascii() and value.isdigit()):
        raise InvalidParameter(f'strconv.ParseUint: parsing "{value}": invalid syntax')
    elif option.endswith("-regex"):
        try:
            re.compile(value)
        except re.error as error:
            raise InvalidParameter(f"error parsing regexp: {error}") from None


def switch(options: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    value = options.get(name, "")
    return _BOOLEANS[value] if value else default
