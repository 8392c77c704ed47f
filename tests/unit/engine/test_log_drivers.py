"""Log drivers: options that are refused, and what the monitor is told to do for each."""

from __future__ import annotations

import pytest

from sampan.engine import log_addresses, log_drivers, log_options
from sampan.engine.log_tags import TagError, expand_tag
from sampan.engine.paths import Paths
from sampan.engine.records import ContainerRecord
from sampan.errors import InvalidParameter, SampanError
from sampan.monitor.messages import LogOptions, RemoteAddress
from sampan.spec.container import ContainerConfig, HostConfig, LogConfig, NetworkingConfig

PATHS = Paths("/data", "/exec")


def record(driver: str = "json-file", **options: str) -> ContainerRecord:
    log = LogConfig(type=driver, config={k.replace("_", "-"): v for k, v in options.items()})
    return ContainerRecord(
        id="0123456789abcdef" * 4,
        name="web",
        created=0,
        path="sh",
        args=("-c", "true"),
        config=ContainerConfig(env=["A=1", "B1=2", "NO"], labels={"x": "y", "z": "0"}),
        host_config=HostConfig(log_config=log),
        networking=NetworkingConfig(),
        image_id="sha256:" + "a" * 64,
        image_name="busybox",
        log_path=log_drivers.shown_path(PATHS, "0123456789abcdef" * 4, log),
    )


@pytest.mark.parametrize(
    ("driver", "options", "complaint"),
    [
        ("nosuch", {}, 'error looking up logging plugin nosuch: plugin "nosuch" not found'),
        ("json-file", {"foo": "1"}, "unknown log opt 'foo' for json-file log driver"),
        ("local", {"tag": "x"}, "unknown log opt 'tag' for log driver local"),
        ("syslog", {"max-size": "1m"}, "unknown log opt 'max-size' for syslog log driver"),
        ("fluentd", {"fluentd-foo": ""}, "unknown log opt 'fluentd-foo' for fluentd log driver"),
        ("json-file", {"mode": "foo"}, "logger: logging mode not supported: foo"),
        (
            "json-file",
            {"max-buffer-size": "1m"},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        ("json-file", {"max-size": "x"}, "invalid size: 'x'"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "3"}, "max-file cannot be used without max-size"),
        (
            "json-file",
            {"compress": "true", "max-size": "1m"},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        ("local", {"compress": "foo"}, 'strconv.ParseBool: parsing "foo": invalid syntax'),
        (
            "syslog",
            {"syslog-address": "foo"},
            "syslog-address should be in form proto://address, got foo",
        ),
        ("syslog", {"syslog-address": "unix:///nosuch"}, "stat /nosuch: no such file or directory"),
        ("syslog", {"syslog-facility": "nosuch"}, "invalid syslog facility"),
        ("syslog", {"syslog-facility": "99"}, "invalid syslog facility"),
        ("syslog", {"syslog-format": "x"}, "Invalid syslog format"),
        (
            "fluentd",
            {"fluentd-address": "http://a"},
            'invalid fluentd-address http://a: strconv.Atoi: parsing "//a": invalid syntax',
        ),
        ("fluentd", {"fluentd-buffer-limit": "x"}, "invalid size: 'x'"),
        ("fluentd", {"fluentd-retry-wait": "x"}, 'time: invalid duration "x"'),
        (
            "fluentd",
            {"fluentd-max-retries": "x"},
            'strconv.ParseUint: parsing "x": invalid syntax',
        ),
        ("json-file", {"env-regex": "("}, "error parsing regexp"),
    ],
)
def test_refused(driver: str, options: dict[str, str], complaint: str) -> None:
    """In moby's words."""
    with pytest.raises(InvalidParameter) as caught:
        log_options.check(LogConfig(type=driver, config=options))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("", {}),
        ("json-file", {"max-size": "10m", "max-file": "3", "compress": "true", "tag": "a"}),
        ("json-file", {"max-size": "-1", "mode": "non-blocking", "max-buffer-size": "4m"}),
        ("local", {"max-size": "1.5k", "max-file": "1", "compress": "false"}),
        ("syslog", {"syslog-address": "udp://127.0.0.1", "syslog-facility": "local7"}),
        ("journald", {"tag": "x", "labels-regex": "^x", "cache-disabled": "true"}),
        ("fluentd", {"fluentd-address": "tcp://h:1", "fluentd-async": "true"}),
    ],
)
def test_accepted(driver: str, options: dict[str, str]) -> None:
    """What each driver takes."""
    log_options.check(LogConfig(type=driver, config=options))


def test_files() -> None:
    """Where lines are kept, how much, and what stands in each."""
    told = record(max_size="10m", max_file="3", compress="true", labels="x,no", env_regex="^B")
    assert log_drivers.plan(PATHS, told, "host") == LogOptions(
        driver="json-file",
        path=told.log_path,
        max_size=10 << 20,
        max_file=3,
        compress=True,
        attributes={"x": "y", "B1": "2"},
    )
    assert log_drivers.plan(PATHS, record(max_size="-1"), "host").max_size == 0
    usual = log_drivers.plan(PATHS, record(), "host")
    assert (usual.max_size, usual.max_file) == (log_drivers.LIMIT, 1)
    local = log_drivers.plan(PATHS, record("local"), "host")
    assert local.path == f"/data/containers/{told.id}/local-logs/container.log"
    assert (local.max_size, local.max_file, local.compress) == (20 << 20, 5, True)
    assert record("local").log_path == ""
    assert log_drivers.plan(PATHS, record("none"), "host") == LogOptions()
    assert log_drivers.log_file(PATHS, record("none")) == ""


def test_logs_that_are_sent_away() -> None:
    """A copy is kept unless it is refused; address, tag and attributes go to the monitor."""
    told = record(
        "syslog",
        syslog_address="tcp://log:99",
        syslog_facility="local1",
        tag="{{.Name}}/{{.ID}}",
        env="A",
        mode="non-blocking",
        max_buffer_size="2m",
    )
    plan = log_drivers.plan(PATHS, told, "host")
    assert plan.path.endswith("container-cached.log")
    assert not plan.blocking
    assert plan.remote is not None
    assert plan.remote.address == {"protocol": "tcp", "host": "log", "port": 99}
    assert (plan.remote.tag, plan.remote.facility) == ("web/0123456789ab", 17)
    assert (plan.remote.attributes, plan.remote.buffer_limit) == ({"A": "1"}, 2 << 20)
    assert LogOptions.from_message(plan.to_message()) == plan
    bare = log_drivers.plan(PATHS, record("journald", cache_disabled="true"), "host")
    assert (bare.driver, bare.path) == ("none", "")
    assert log_drivers.log_file(PATHS, record("journald", cache_disabled="true")) == ""


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("plain", "plain"),
        ("{{.ID}}", "0123456789ab"),
        ("{{ .ImageName }}/{{.Name}}-{{.DaemonName}}", "busybox/web-docker"),
        ("{{.FullID}}", "0123456789abcdef" * 4),
        ("{{.ImageID}} {{.Command}}", "sha256:aaaaa sh -c true"),
        ("{{if .Name}}n{{else}}m{{end}}", "n"),
        ("{{with .ContainerLabels}}{{.}}{{end}}", "map[x:y z:0]"),
        ("{{range .ContainerEnv}}{{.}},{{end}}", "A=1,B1=2,NO,"),
        ('{{upper .Name}} {{.Name | printf "%.2s"}} {{truncate .Name 2}}', "WEB we we"),
        ("{{json .ContainerArgs}} {{slice .ID 0 3}}", '["-c","true"] 012'),
        ('{{join .ContainerArgs "-"}} {{index .ContainerEnv 0}}', "-c-true A=1"),
        ("{{.Config}}", "map[]"),
    ],
)
def test_tags(text: str, tag: str) -> None:
    """Fields of a Go template."""
    assert expand_tag(text, record(), "host") == tag


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{{.Foo}}", 'executing "log-tag" at <.Foo>: can\'t evaluate field Foo'),
        ("{{.ID", "template: log-tag:1: unclosed action"),
        ("{{if}}", "template: log-tag:1: missing value for if"),
        ("{{if .ID}}x", "unexpected EOF"),
        ("{{nothing .ID}}", 'function "nothing" not defined'),
    ],
)
def test_tags_that_are_none(text: str, complaint: str) -> None:
    """The start fails, in dockerd's words."""
    with pytest.raises(TagError, match="template: log-tag:1") as caught:
        expand_tag(text, record(), "host")
    assert complaint in str(caught.value)
    with pytest.raises(SampanError, match="failed to initialize logging driver: template"):
        log_drivers.plan(PATHS, record(tag=text), "host")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", RemoteAddress("tcp", "127.0.0.1", 24224)),
        ("h", RemoteAddress("tcp", "h", 24224)),
        ("tcp://h:1", RemoteAddress("tcp", "h", 1)),
        ("[::1]:5", RemoteAddress("tcp", "::1", 5)),
        ("unix:///a", RemoteAddress("unix", "/a")),
    ],
)
def test_fluentd_addresses(text: str, address: RemoteAddress) -> None:
    """Host and port, each with what is usual, or a socket."""
    assert log_addresses.fluentd_address({"fluentd-address": text}) == address


async def test_nobody_listens() -> None:
    """The start fails with what connect(2) said; names become numbers."""
    with pytest.raises(SampanError) as caught:
        await log_addresses.reach(RemoteAddress("tcp", "127.0.0.1", 1), must_answer=True, tls={})
    assert str(caught.value) == (
        "failed to initialize logging driver: dial tcp 127.0.0.1:1: connect: connection refused"
    )
    found = await log_addresses.reach(
        RemoteAddress("tcp", "localhost", 1), must_answer=False, tls={}
    )
    assert found.host in ("127.0.0.1", "::1")
