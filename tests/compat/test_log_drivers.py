"""Log drivers from outside: what is kept and shown, what is sent away, what is refused, over rotation and daemon."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, wait_until
from tests.registries import make_tls


def run(driver: Driver, name: str, script: str, *flags: str) -> None:
    driver.ok("run", "--name", name, *flags, "busybox", "sh", "-c", script)


def log_opts(**options: str) -> list[str]:
    words = [f"{key.replace('_', '-')}={value}" for key, value in options.items()]
    return [word for text in words for word in ("--log-opt", text)]


def test_attributes_and_details(driver: Driver) -> None:
    """labels, env, their patterns and the tag are in each line, and `logs --details` shows them."""
    named = {"tag": "{{.Name}}/{{.ImageName}}", "labels": "x", "env": "A", "env_regex": "^B"}
    flags = ["-e", "A=1", "-e", "B1=2 3", "-e", "C=4", "--label", "x=y"]
    run(driver, "l1", "echo hi", *flags, *log_opts(**named))
    assert driver.ok("logs", "--details", "l1") == "A=1,B1=2+3,tag=l1%2Fbusybox,x=y hi"
    assert driver.ok("logs", "l1") == "hi"
    path = driver.ok("inspect", "-f", "{{.LogPath}}", "l1")
    assert json.loads(Path(path).read_text())["attrs"] == {
        "A": "1",
        "B1": "2 3",
        "tag": "l1/busybox",
        "x": "y",
    }


TAGS = {
    "{{if .Name}}n{{else}}m{{end}}": "n",
    "{{range .ContainerEnv}}{{.}},{{end}}": "A=b,",
    '{{upper .Name}} {{.Name | printf "%.1s"}} {{truncate .Name 1}}{{pad .Name 1 1}}': "L1 l l l1 ",
    "{{with .ContainerLabels}}{{.}}{{end}} {{json .ContainerArgs}}": 'map[x:y] ["-c","echo hi"]',
    "{{slice .ID 0 0}}{{index .ContainerEnv 0}} {{.DaemonName}} {{.Hostname | len}}": None,
    "{{.Command}} {{.ContainerEntrypoint}} {{.ContainerName}}": "sh -c echo hi sh /l1",
    "{{.Config}}": "map[tag:{{.Config}}]",
}


@pytest.mark.parametrize("text", TAGS)
def test_tags(driver: Driver, text: str) -> None:
    """Whole Go templates, over what dockerd's have."""
    run(driver, "l1", "echo hi", "-e", "A=b", "--label", "x=y", *log_opts(tag=text))
    path = driver.ok("inspect", "-f", "{{.LogPath}}", "l1")
    tag = json.loads(Path(path).read_text())["attrs"]["tag"]
    wanted = TAGS[text]
    assert tag == (f"A=b docker {len(os.uname().nodename)}" if wanted is None else wanted)


@pytest.mark.parametrize("kind", ["json-file", "local"])
def test_rotation(driver: Driver, kind: str) -> None:
    """max-size, max-file and compress: the last lines are all there, in order, whatever was packed."""
    options = log_opts(max_size="20k", max_file="3", compress="true")
    run(driver, "l1", "seq 1 4000", "--log-driver", kind, *options)
    lines = driver.ok("logs", "l1").split()
    assert lines == [str(number) for number in range(4000 - len(lines) + 1, 4001)]
    assert 300 < len(lines) < 3000
    assert driver.ok("logs", "--tail", "5", "l1").split() == lines[-5:]
    home = driver.engine.data_root / "containers" / driver.inspect("l1")["Id"]
    wait_until(lambda: list(home.glob("**/*.gz")), "a packed file")


def test_tail_of_two_streams_over_packed_files(driver: Driver) -> None:
    """The last n lines of both streams are the end of the whole; one stream alone has its share of those."""
    options = log_opts(max_size="20k", max_file="5", compress="true")
    script = "i=100; while [ $i -lt 800 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done"
    run(driver, "l1", script, *options)
    home = driver.engine.data_root / "containers" / driver.inspect("l1")["Id"]
    wait_until(lambda: list(home.glob("**/*.gz")), "a packed file")

    def logs(query: str) -> list[str]:
        body = driver.engine.request("GET", f"/containers/l1/logs?{query}")[1]
        return re.findall(r"[oe]\d{3}", body)

    whole = logs("stdout=1&stderr=1")
    assert len(whole) > 600
    for letter in "oe":
        numbers = [int(word[1:]) for word in whole if word[0] == letter]
        assert numbers == list(range(800 - len(numbers), 800))
    for count in (1, 2, 7, 400, len(whole), 5000):
        last = whole[-count:]
        assert logs(f"stdout=1&stderr=1&tail={count}") == last
        for stream, letter in (("stdout", "o"), ("stderr", "e")):
            found = logs(f"{stream}=1&tail={count}")
            assert found == [word for word in last if word[0] == letter]


def test_local(driver: Driver) -> None:
    """No path is shown; both streams are read back with their times."""
    run(driver, "l1", "echo out; echo err >&2", "--log-driver", "local")
    shown = driver.inspect("l1")
    assert (shown["LogPath"], shown["HostConfig"]["LogConfig"]["Type"]) == ("", "local")
    found = driver("logs", "-t", "l1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z out\n", found.out)
    assert found.err.endswith(" err\n")


def test_none(driver: Driver) -> None:
    """Nothing is kept, and `logs` says so."""
    run(driver, "l1", "echo out", "--log-driver", "none")
    refused = driver("logs", "l1")
    assert refused.code == 1
    assert "configured logging driver does not support reading" in refused.err


@pytest.mark.parametrize(
    ("kind", "options", "complaint"),
    [
        ("nosuch", {}, 'error looking up logging plugin nosuch: plugin "nosuch" not found'),
        ("json-file", {"foo": "1"}, "unknown log opt 'foo' for json-file log driver"),
        ("local", {"tag": "x"}, "unknown log opt 'tag' for log driver local"),
        ("json-file", {"mode": "foo"}, "logger: logging mode not supported: foo"),
        ("json-file", {"tag": "{{.Foo}}"}, "can't evaluate field Foo in type *logger.Info"),
        ("syslog", {"syslog_address": "foo"}, "should be in form proto://address, got foo"),
        ("syslog", {"syslog_facility": "nosuch"}, "invalid syslog facility"),
        (
            "syslog",
            {"syslog_address": "tcp://127.0.0.1:1"},
            "failed to initialize logging driver: dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        ("fluentd", {"fluentd_address": "127.0.0.1:1"}, "dial tcp 127.0.0.1:1: connect: conn"),
        ("fluentd", {"fluentd_retry_wait": "x"}, 'time: invalid duration "x"'),
    ],
)
def test_refused(driver: Driver, kind: str, options: dict[str, str], complaint: str) -> None:
    """Drivers, options and addresses that are none, in dockerd's words; no container stays."""
    refused = driver("run", "--rm", "--log-driver", kind, *log_opts(**options), "busybox", "true")
    assert (refused.code, complaint in refused.err) == (125, True), refused.err
    assert driver.ok("ps", "-aq") == ""


class Sink:
    """A server at a unix socket that keeps what it gets. Both engines can reach it, whatever their network."""

    def __init__(self, path: Path, kind: int) -> None:
        self.path = path
        self.received = b""
        self._socket = socket.socket(socket.AF_UNIX, kind)
        self._socket.bind(str(path))
        self._kind = kind
        if kind == socket.SOCK_STREAM:
            self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        if self._kind == socket.SOCK_DGRAM:
            self._read(self._socket)
        else:
            while True:
                try:
                    connection, _ = self._socket.accept()
                except OSError:
                    return
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 20):
                    self.received += data
            except OSError:
                return

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture(params=[socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
def sink(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sink]:
    # A short path: those of unix sockets end at 108 bytes.
    path = Path(f"/tmp/sink-{os.getpid()}")
    made = Sink(path, request.param)
    try:
        yield made
    finally:
        made.close()
        path.unlink()


@pytest.mark.parametrize("sink", [socket.SOCK_STREAM, socket.SOCK_DGRAM], indirect=True)
@pytest.mark.parametrize("form", ["", "rfc3164", "rfc5424", "rfc5424micro"])
def test_syslog(driver: Driver, sink: Sink, form: str) -> None:
    """Every line is a message with tag, facility and severity; a copy stays for `logs`."""
    protocol = "unix" if sink._kind == socket.SOCK_STREAM else "unixgram"
    options = log_opts(
        syslog_address=f"{protocol}://{sink.path}",
        syslog_facility="local1",
        syslog_format=form or "rfc3164",
        tag="{{.Name}}",
    )
    run(driver, "web", "echo out; echo err >&2", "--log-driver", "syslog", *options)
    wait_until(lambda: sink.received.count(b"\n") == 2, "both messages")
    stamp = r"[A-Z][a-z]{2} [ \d]\d [\d:]{8}"
    if form.startswith("rfc5424"):
        stamp = r"1 \d{4}-\d\d-\d\dT[\d:.]+(Z|[+-][\d:]+)"
    for priority, word in ((142, "out"), (139, "err")):
        name = r"web \d+ web -" if form.startswith("rfc5424") else r"web\[\d+\]:"
        pattern = rf"<{priority}>{stamp} \S+ {name} {word}\n"
        assert re.search(pattern.encode(), sink.received), sink.received
    if driver.engine.kind == "sampand":
        found = driver("logs", "web")
        assert (found.out, found.err) == ("out\n", "err\n")


LISTENER = """
import socket, ssl, sys
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 6514))
print("ready", flush=True)
while True:
    raw, _ = listener.accept()
    try:
        with context.wrap_socket(raw, server_side=True) as connection:
            while data := connection.recv(65536):
                sys.stdout.write(data.decode())
                sys.stdout.flush()
    except OSError:
        pass
"""


@pytest.fixture
def tls_listener(driver: Driver, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A syslog server with TLS at 127.0.0.1:6514 of the engine's host: its authority, and what it has got."""
    tls = make_tls(tmp_path, "127.0.0.1")
    output = tmp_path / "got"
    words = [
        *driver.engine.host.enter(),
        sys.executable,
        "-c",
        LISTENER,
        *map(str, tls.pair("server")),
    ]
    with open(output, "wb") as file, subprocess.Popen(words, stdout=file) as process:
        try:
            wait_until(lambda: output.read_text().startswith("ready"), "the listener")
            yield tls.authority, output
        finally:
            process.kill()


def test_syslog_over_tls(driver: Driver, tls_listener: tuple[Path, Path]) -> None:
    """Messages come through; a server that nobody vouches for is refused at the start, unless one says so."""
    authority, output = tls_listener
    address = "tcp+tls://127.0.0.1:6514"
    for number, trust in enumerate(
        ({"syslog_tls_ca_cert": str(authority)}, {"syslog_tls_skip_verify": "1"})
    ):
        options = log_opts(syslog_address=address, tag="{{.Name}}", **trust)
        run(driver, f"web{number}", "echo out", "--log-driver", "syslog", *options)
        wait_until(lambda n=number: f"web{n}[" in output.read_text(), "the message")
    for trust, complaint in (
        ({}, "x509: certificate signed by unknown authority"),
        ({"syslog_tls_ca_cert": "/nope"}, "no such file or directory"),
    ):
        options = log_opts(syslog_address=address, **trust)
        refused = driver("run", "--rm", "--log-driver", "syslog", *options, "busybox", "true")
        assert refused.code in (
            125,
            127,
        )  # an error that says "no such file", the client counts as 127
        assert complaint in refused.err
        assert "failed to initialize logging driver" in refused.err


@pytest.mark.parametrize("sink", [socket.SOCK_STREAM], indirect=True)
def test_fluentd(driver: Driver, sink: Sink) -> None:
    """Each line as a record with the container's id and name, the stream and the attributes."""
    options = log_opts(fluentd_address=f"unix://{sink.path}", tag="a.{{.Name}}", env="A")
    run(driver, "web", "echo out", "-e", "A=1", "--log-driver", "fluentd", *options)
    identifier = driver.inspect("web")["Id"].encode()
    wait_until(lambda: b"out" in sink.received, "the message")
    assert sink.received.startswith(b"\x94\xa5a.web")
    for part in (
        b"\xaccontainer_id\xd9\x40" + identifier,
        b"\xaecontainer_name\xa4/web",
        b"\xa6source\xa6stdout",
        b"\xa3log\xa3out",
        b"\xa1A\xa11",
    ):
        assert part in sink.received, part


@pytest.mark.parametrize("sink", [socket.SOCK_STREAM], indirect=True)
def test_a_remote_log_that_goes_away(ours: Driver, sink: Sink) -> None:
    """The container goes on, and what it says meanwhile is in the copy."""
    options = log_opts(fluentd_address=f"unix://{sink.path}", fluentd_retry_wait="100ms")
    script = "echo one; while ! [ -e /go ]; do sleep 0.1; done; echo two"
    flags = ["--log-driver", "fluentd", *options]
    ours.ok("run", "-d", "--name", "web", *flags, "busybox", "sh", "-c", script)
    wait_until(lambda: b"one" in sink.received, "the first message")
    sink._socket.shutdown(socket.SHUT_RDWR)
    ours.ok("exec", "web", "touch", "/go")
    assert ours.ok("wait", "web", timeout=30) == "0"
    assert ours.ok("logs", "web") == "one\ntwo"


def test_follow_survives_rotation_and_the_daemon(ours: Driver) -> None:
    """`logs -f` shows every line once while files are rotated and packed; so does the next daemon's."""
    options = log_opts(max_size="20k", max_file="200", compress="true")
    script = "i=0; while [ $i -lt 6000 ]; do echo $i; i=$((i+1)); done; exec sleep 1000"
    ours.ok("run", "-d", "--name", "web", *options, "busybox", "sh", "-c", script)
    follower = ours.popen("logs", "-f", "web")
    assert follower.stdout is not None
    seen = [int(follower.stdout.readline()) for _ in range(6000)]
    assert seen == list(range(6000))
    ours.engine.kill()
    ours.engine.start()
    again = ours.popen("logs", "-f", "--tail", "6000", "web")
    assert again.stdout is not None
    assert [int(again.stdout.readline()) for _ in range(6000)] == seen


def test_the_daemons_default(ours: Driver, tmp_path: Path) -> None:
    """--log-driver and --log-opt of the daemon are every container's, and shown by info."""
    from tests.engines import running_engine
    from tests.rootfs import busybox_tar

    flags = ["--log-driver=local", "--log-opt=max-size=1m"]
    with running_engine("sampand", tmp_path / "s", *flags) as engine:
        driver = Driver(engine, ours.client)
        driver.load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
        run(driver, "l1", "echo hi")
        assert driver.inspect("l1")["HostConfig"]["LogConfig"] == {
            "Type": "local",
            "Config": {"max-size": "1m"},
        }
        assert driver.ok("logs", "l1") == "hi"
        assert driver.ok("info", "-f", "{{.LoggingDriver}}") == "local"
        driver.close()
