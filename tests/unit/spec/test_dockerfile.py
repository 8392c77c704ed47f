"""`--change` lines do to a config what dockerd does; every expectation here was first seen from dockerd,
except those of SHELL and STOPSIGNAL, which it does not take."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sampan.errors import InvalidParameter
from sampan.spec.container import ContainerConfig
from sampan.spec.dockerfile import apply_changes

SECOND = 1_000_000_000


def changed(*changes: str) -> dict[str, Any]:
    """The fields that are not empty afterwards."""
    config = apply_changes(ContainerConfig(), list(changes))
    result = {key: value for key, value in msgspec.to_builtins(config).items() if value}
    if "Healthcheck" in result:
        result["Healthcheck"] = {k: v for k, v in result["Healthcheck"].items() if v}
    return result


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], {}),
        (['CMD ["a","b"]'], {"Cmd": ["a", "b"]}),
        (['CMD ["a"] x'], {"Cmd": ["a"]}),
        (['CMD ["a", b]'], {"Cmd": ["/bin/sh", "-c", '["a", b]']}),
        (['cmd echo "a  b" $HOME'], {"Cmd": ["/bin/sh", "-c", 'echo "a  b" $HOME']}),
        (["CMD"], {"Cmd": ["/bin/sh", "-c"]}),
        (["CMD []"], {}),
        (["ENTRYPOINT echo hi"], {"Entrypoint": ["/bin/sh", "-c", "echo hi"]}),
        (["ENTRYPOINT"], {}),
        (['CMD ["y"]', 'ENTRYPOINT ["/x"]'], {"Cmd": ["y"], "Entrypoint": ["/x"]}),
        (['ENV A=b C="d e"', "ENV X y z"], {"Env": ["A=b", "C=d e", "X=y z"]}),
        (["ENV  A  b   c "], {"Env": ["A=b   c"]}),
        (["ENV A=b c=d", "ENV A=z"], {"Env": ["A=z", "c=d"]}),
        (["ENV a='b c' d=e\\ f"], {"Env": ["a=b c", "d=e f"]}),
        (['ENV "a b"=c'], {"Env": ["a b=c"]}),
        (["ENV A=$1$$"], {"Env": ["A="]}),
        (
            ["ENV A=1", "ENV B=$A C=${A} D=${Z:-def} E=${A:+plus} F=\\$A G=\"q $A\" H='q $A'"],
            {"Env": ["A=1", "B=1", "C=1", "D=def", "E=plus", "F=$A", "G=q 1", "H=q $A"]},
        ),
        (["ENV A=1\nENV B=2 \\\n C=3\n# no\n  CMD x"], {
            "Env": ["A=1", "B=2", "C=3"], "Cmd": ["/bin/sh", "-c", "x"]}),
        (["ENV A=1 \\\n\n# between\n B=2 \\"], {"Env": ["A=1", "B=2"]}),
        (["EXPOSE 80 90-92/udp"], {
            "ExposedPorts": {"80/tcp": {}, "90/udp": {}, "91/udp": {}, "92/udp": {}}}),
        (['EXPOSE 80/TCP 127.0.0.1:80:81 "90"'], {
            "ExposedPorts": {"80/tcp": {}, "81/tcp": {}, "90/tcp": {}}}),
        (["EXPOSE 80:90/udp", "EXPOSE 0"], {"ExposedPorts": {"90/udp": {}, "0/tcp": {}}}),
        (["EXPOSE $X"], {}),
        (['LABEL a=b "c d"=e'], {"Labels": {"a": "b", "c d": "e"}}),
        (["LABEL a b c"], {"Labels": {"a": "b c"}}),
        (['LABEL a=$X"y"z'], {"Labels": {"a": "yz"}}),
        (["USER joe:x"], {"User": "joe:x"}),
        (["USER a b"], {"User": "a b"}),
        (["VOLUME /a /b"], {"Volumes": {"/a": {}, "/b": {}}}),
        (['VOLUME ["/a","/b c"]'], {"Volumes": {"/a": {}, "/b c": {}}}),
        (["VOLUME $X/a"], {"Volumes": {"/a": {}}}),
        (["WORKDIR /x", "WORKDIR y"], {"WorkingDir": "/x/y"}),
        (["WORKDIR rel"], {"WorkingDir": "/rel"}),
        (["WORKDIR a b"], {"WorkingDir": "/a b"}),
        (["WORKDIR /a/../b/"], {"WorkingDir": "/a/../b/"}),
        (["HEALTHCHECK NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
        (["HEALTHCHECK --interval=5s NONE"], {"Healthcheck": {"Test": ["NONE"]}}),
        (['HEALTHCHECK CMD ["a","b"]'], {"Healthcheck": {"Test": ["CMD", "a", "b"]}}),
        (["HEALTHCHECK --interval=1m30s --timeout=2s --start-period=3s --retries=3 CMD x y"], {
            "Healthcheck": {"Test": ["CMD-SHELL", "x y"], "Interval": 90 * SECOND,
                            "Timeout": 2 * SECOND, "StartPeriod": 3 * SECOND, "Retries": 3}}),
        (["ONBUILD   RUN  a   b", "onbuild copy a b"], {"OnBuild": ["RUN  a   b", "copy a b"]}),
        (['SHELL ["/bin/bash","-c"]', "CMD x"], {
            "Shell": ["/bin/bash", "-c"], "Cmd": ["/bin/bash", "-c", "x"]}),
        (["STOPSIGNAL SIGTERM"], {"StopSignal": "SIGTERM"}),
        (["STOPSIGNAL 9"], {"StopSignal": "9"}),
        (["STOPSIGNAL rtmin+3"], {"StopSignal": "rtmin+3"}),
    ],
)  # fmt: skip
def test_changes(changes: list[str], expected: dict[str, Any]) -> None:
    """A config before and after."""
    assert changed(*changes) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("", "file with no instructions"),
        ("# c", "file with no instructions"),
        ("RUN x", "run is not a valid change command"),
        ("FROM a", "from is not a valid change command"),
        ("Bogus x", "bogus is not a valid change command"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV =x", "ENV names can not be blank"),
        ("ENV a=b c", 'Syntax error - can\'t find = in "c". Must be of the form: name=value'),
        (
            'ENV A="x',
            'failed to process "\\"x": unexpected end of statement while looking for '
            "matching double-quote",
        ),
        ("ENV A=${X:?err}", 'failed to process "${X:?err}": X: err'),
        ("ENV A=${X", "failed to process \"${X\": missing ':' in substitution"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        *(
            (f"EXPOSE {port}", f"Invalid containerPort: {port}")
            for port in ("abc", "99999", "80-70", "80-", "1-99999", "-1")
        ),
        ("EXPOSE 80/foo", "Invalid proto: foo"),
        ("LABEL", "LABEL requires at least one argument"),
        ("LABEL a", "LABEL must have two arguments"),
        ("USER", "USER requires exactly one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ('VOLUME /a ""', "VOLUME specified can not be an empty string"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK FOO x", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK --interval=1 CMD x", 'time: missing unit in duration "1"'),
        ("HEALTHCHECK --interval=-1s CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --interval=0 CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --interval=100us CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --retries=0 CMD x", "--retries must be at least 1 (not 0)"),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries must be at least 1 (not -1)"),
        ("HEALTHCHECK --retries=a CMD x", 'strconv.ParseInt: parsing "a": invalid syntax'),
        ("HEALTHCHECK --foo=1 CMD x", "Unknown flag: foo"),
        ("HEALTHCHECK --interval CMD x", "Missing a value on flag: interval"),
        (
            "HEALTHCHECK --interval=1s --interval=2s CMD x",
            "Duplicate flag specified: interval",
        ),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("SHELL foo", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("STOPSIGNAL foo", "Invalid signal: foo"),
    ],
)
def test_errors_are_dockers(change: str, message: str) -> None:
    """Status 400 and the text."""
    with pytest.raises(InvalidParameter) as failure:
        changed(change)
    assert str(failure.value) == message


def test_the_given_config_is_not_changed() -> None:
    """A copy is; its lists and dictionaries are its own."""
    before = ContainerConfig(env=["A=1"], labels={"a": "b"}, volumes={"/a": {}}, on_build=["RUN x"])
    same = msgspec.json.encode(before)
    apply_changes(before, ["ENV A=2", "LABEL a=c", "VOLUME /b", "ONBUILD RUN y", "CMD x"])
    assert msgspec.json.encode(before) == same
