"""Configuration: flags, daemon.json, how they come together, and what is refused in dockerd's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sampan.engine import config, options
from sampan.engine.config import ConfigError, DaemonConfig


@pytest.mark.parametrize(
    ("words", "directives"),
    [
        ([], {}),
        (["-H", "unix:///a", "--host=unix:///b", "-Hfd://"], {"hosts": ["unix:///a", "unix:///b", "fd://"]}),
        (["--data-root=/d", "--exec-root", "/e", "-p", "/p"], {"data-root": "/d", "exec-root": "/e", "pidfile": "/p"}),
        (["-D"], {"debug": True}),
        (["--debug=false", "--icc=true"], {"debug": False, "icc": True}),
        (["--mtu", "1400"], {"mtu": 1400}),
        (["--dns=1.1.1.1", "--dns", "8.8.8.8", "--dns-opt=ndots:2", "--dns-search=x.y"], {"dns": ["1.1.1.1", "8.8.8.8"], "dns-opts": ["ndots:2"], "dns-search": ["x.y"]}),
        (["--log-opt", "max-size=1m", "--log-opt=max-file=3"], {"log-opts": {"max-size": "1m", "max-file": "3"}}),
        (["--default-ulimit=nofile=10:20"], {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}}}),
        (["--default-ulimit=core=5"], {"default-ulimits": {"core": {"Name": "core", "Soft": 5, "Hard": 5}}}),
    ],
)  # fmt: skip
def test_command_line(words: list[str], directives: dict[str, Any]) -> None:
    """Docker's forms of flags, as daemon.json's keys."""
    assert options.parse(words).directives == directives


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--nosuch"], "unknown flag: --nosuch"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["word"], "\"sampand\" accepts no arguments, got 'word'"),
        (["--mtu"], "flag needs an argument: --mtu"),
        (["-H"], "flag needs an argument: 'H' in -H"),
        (["--mtu=x"], 'invalid argument "x" for "--mtu" flag: not a number'),
        (["--debug=maybe"], 'invalid argument "maybe" for "--debug" flag: not a boolean'),
        (["--default-ulimit=nofile"], 'invalid argument "nofile" for "--default-ulimit" flag: not name=soft[:hard]'),
    ],
)  # fmt: skip
def test_command_line_refused(words: list[str], text: str) -> None:
    """Words that a user of docker knows."""
    with pytest.raises(options.UsageError) as caught:
        options.parse(words)
    assert str(caught.value) == text


def test_help_and_version() -> None:
    """They are no directives; the help names every option."""
    assert options.parse(["--help"]).help
    assert options.parse(["-v"]).version
    assert options.parse(["--config-file=/x"]).config_file == "/x"
    text = options.usage()
    assert all(name in text for option in options.OPTIONS for name in option.names)


def test_every_option_is_a_key() -> None:
    """The two tables name the same things; `features` is of the file only."""
    assert {option.key for option in options.OPTIONS if option.key} == set(config.KEYS) - {
        "features"
    }


def test_flags_and_file() -> None:
    """Each option from one of both; labels from both."""
    merged = config.merge(
        {"debug": True, "labels": ["a=1"]}, {"mtu": 1400, "labels": ["b=2"], "dns": ["1.1.1.1"]}
    )
    assert (merged.debug, merged.mtu, merged.dns) == (True, 1400, ("1.1.1.1",))
    assert merged.labels == ("b=2", "a=1")
    assert config.merge({}, {}) == DaemonConfig()


@pytest.mark.parametrize(
    ("flags", "directives", "text"),
    [
        ({}, {"authorization-plugins": ["x"]}, "the following directives don't match any configuration option: authorization-plugins"),
        ({}, {"nosuch": 1, "other": 2}, "the following directives don't match any configuration option: nosuch, other"),
        ({"bip": "10.0.0.1/24"}, {"bip": "10.0.0.2/24"}, "the following directives are specified both as a flag and in the configuration file: bip: (from flag: 10.0.0.1/24, from file: 10.0.0.2/24)"),
        ({"debug": True}, {"debug": False}, "the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: false)"),
        ({"dns": ["1.1.1.1", "8.8.8.8"]}, {"dns": ["9.9.9.9"]}, "the following directives are specified both as a flag and in the configuration file: dns: (from flag: [1.1.1.1 8.8.8.8], from file: [9.9.9.9])"),
        ({}, {"dns": ["x"]}, "x is not an ip address"),
        ({}, {"dns-search": ["a b"]}, "a b is not a valid domain"),
        ({}, {"labels": ["a"]}, "bad attribute format: a"),
        ({}, {"mtu": -1}, "invalid default MTU: -1"),
        ({}, {"log-level": "loud"}, "invalid logging level: loud"),
        ({}, {"bip": "x"}, "invalid CIDR address: x"),
        ({}, {"bip": "10.0.0.1/24", "bridge": "br0"}, "You specified -b & --bip, mutually exclusive options. Please specify only one"),
        ({}, {"fixed-cidr": "x"}, "invalid CIDR address: x"),
        ({}, {"fixed-cidr-v6": "fd00::1/129"}, "invalid CIDR address: fd00::1/129"),
        ({}, {"storage-driver": "zfs"}, "driver not supported: zfs"),
        (
            {"exec-opts": ["native.cgroupdriver=systemd"]},
            {},
            "native.cgroupdriver option systemd not supported",
        ),
        (
            {},
            {"exec-opts": ["native.cgroupdriver=none"]},
            "native.cgroupdriver option none is internally used and cannot be specified manually",
        ),
        ({}, {"log-driver": "gelf"}, "logger: no log driver named 'gelf' is registered"),
        ({}, {"log-opts": {"tog": "x"}}, "unknown log opt 'tog' for json-file log driver"),
        ({}, {"publish-mode": "x"}, "invalid publish mode (x): use docker or host"),
        ({}, {"live-restore": False}, "live-restore cannot be switched off: containers never depend on the daemon"),
        ({}, {"hosts": ["nothing"]}, "unable to parse docker host `nothing`"),
        ({}, {"default-shm-size": "lots"}, "invalid size: 'lots'"),
        ({}, {"default-cgroupns-mode": "x"}, "invalid default cgroup namespace mode (x): use host or private"),
    ],
)  # fmt: skip
def test_refused(flags: dict[str, Any], directives: dict[str, Any], text: str) -> None:
    """What dockerd refuses, in its words."""
    with pytest.raises(ConfigError) as caught:
        config.merge(flags, directives)
    assert str(caught.value) == text


def test_a_range_named_by_an_address_in_it() -> None:
    """As Go's ParseCIDR takes it."""
    assert config.merge({"fixed-cidr-v6": "fd00::1/64"}, {}).fixed_cidr_v6 == "fd00::1/64"


def test_wrong_types() -> None:
    """A directive of another type names itself."""
    with pytest.raises(ConfigError, match="dns"):
        config.merge({}, {"dns": "1.1.1.1"})


def test_tcp_needs_tls() -> None:
    """Refused with a reason, never silently open."""
    with pytest.raises(ConfigError, match="without TLS"):
        config.merge({"hosts": ["tcp://127.0.0.1:2375"]}, {})


def test_ulimits_of_the_file() -> None:
    """Docker's form: the key is the name."""
    made = config.merge({}, {"default-ulimits": {"nofile": {"Soft": 1, "Hard": 2}}})
    limit = made.default_ulimits["nofile"]
    assert (limit.name, limit.soft, limit.hard) == ("nofile", 1, 2)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64m", 64 << 20), ("1g", 1 << 30), ("4096", 4096), (77, 77), ("1.5k", 1536), ("10MB", 10 << 20), ("2GiB", 2 << 30), ("7b", 7)],
)  # fmt: skip
def test_sizes(text: str | int, size: int) -> None:
    """Docker's size words."""
    assert config.parse_size(text) == size


def test_files(tmp_path: Path) -> None:
    """Empty is nothing, nonsense names itself, a missing one is the caller's affair."""
    path = tmp_path / "daemon.json"
    path.write_text(" \n")
    assert config.read_file(str(path)) == {}
    path.write_text('{"debug": true}')
    assert config.read_file(str(path)) == {"debug": True}
    for text in ("{", "[]", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(ConfigError, match="invalid JSON"):
            config.read_file(str(path))
    with pytest.raises(FileNotFoundError):
        config.read_file(str(tmp_path / "nope"))


@pytest.mark.parametrize("option", ["native.cgroupdriver=cgroupfs", "x=y", "x"])
def test_exec_options_that_stand(option: str) -> None:
    """The driver that we are, and what dockerd does not look at either."""
    assert config.merge({"exec-opts": [option]}, {}).exec_opts == (option,)
    assert options.parse(["--exec-opt", option]).directives == {"exec-opts": [option]}
