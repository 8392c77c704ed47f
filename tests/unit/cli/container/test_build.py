"""The body of a create: zero values are all there, and what contradicts is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.cli.container.build import build_create, parse_restart
from sampan.cli.container.flags import CREATE_FLAGS, RUN_FLAGS
from sampan.cli.flags import parse


def body(*arguments: str, proxies: dict[str, str] | None = None) -> dict[str, Any]:
    values, rest = parse(CREATE_FLAGS, [*arguments, "image"], interspersed=False)
    return build_create(values, rest[0], rest[1:], proxies or {})


@pytest.mark.parametrize(
    ("arguments", "streams"),
    [
        ([], (False, True, True, False, False)),
        (["-i"], (True, True, True, True, True)),
        (["-a", "stdout"], (False, True, False, False, False)),
        (["-a", "stdin"], (True, False, False, False, False)),
        (["-i", "-a", "stderr"], (True, False, True, True, True)),
    ],
)
def test_streams(arguments: list[str], streams: tuple[bool, ...]) -> None:
    made = body(*arguments)
    assert (
        tuple(
            made[key]
            for key in ("AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce")
        )
        == streams
    )


def test_given_and_not_given_are_told_apart() -> None:
    assert body()["Entrypoint"] is None
    assert body("--entrypoint", "")["Entrypoint"] == [""]
    assert "StopTimeout" not in body()
    assert body("--stop-timeout", "0")["StopTimeout"] == 0
    assert "Init" not in body()["HostConfig"]
    assert body("--init=false")["HostConfig"]["Init"] is False


def test_the_last_word_about_a_variable_counts() -> None:
    assert body("-e", "A=1", "-e", "B", "-e", "A=2")["Env"] == ["A=2", "B"]
    assert body("-e", "http_proxy=x", proxies={"http_proxy": "p", "no_proxy": "n"})["Env"] == [
        "http_proxy=x",
        "no_proxy=n",
    ]


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [("", "", 0), ("no", "no", 0), ("on-failure:3", "on-failure", 3), ("always:", "always", 0)],
)
def test_restart(text: str, name: str, count: int) -> None:
    assert parse_restart(text) == {"Name": name, "MaximumRetryCount": count}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rm", "--restart", "always"],
        ["--no-healthcheck", "--health-cmd", "x"],
        ["--health-timeout", "-1s"],
        ["--pid", "container:"],
        ["--uts", "private"],
        ["--memory-swappiness", "101"],
        ["--log-driver", "none", "--log-opt", "a=b"],
        ["--storage-opt", "x"],
        ["--security-opt", "apparmor="],
        ["--mac-address", "x"],
    ],
)
def test_refused(arguments: list[str]) -> None:
    with pytest.raises(ValueError):
        body(*arguments)


def test_no_two_flags_share_a_name_or_a_letter() -> None:
    for flags in (CREATE_FLAGS, RUN_FLAGS):
        names = [flag.name for flag in flags]
        letters = [flag.short for flag in flags if flag.short]
        assert len(names) == len(set(names))
        assert len(letters) == len(set(letters))
