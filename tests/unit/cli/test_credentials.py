"""Passwords in config.json and with credential helpers; nothing secret in a command line."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from sampan.cli import credentials
from sampan.cli.config import Config
from sampan.cli.credentials import HUB, Account
from sampan.cli.failure import Failure

# Keeps accounts in a folder beside it, and what it was called with.
HELPER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
input=$(cat)
file="$(dirname "$0")/kept"
case "$1" in
store) printf %s "$input" > "$file";;
get) if [ -s "$file" ]; then cat "$file"; else echo "credentials not found in native keychain"; exit 1; fi;;
erase) rm -f "$file";;
esac
"""
BROKEN = "#!/bin/sh\ncat > /dev/null; echo the keyring is locked; exit 3\n"


def configured(directory: Path, content: Any) -> Config:
    (directory / "config.json").write_text(json.dumps(content))
    return Config(str(directory))


def helper(directory: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = directory / f"docker-credential-{name}"
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def shown(account: Account) -> tuple[str, str, str]:
    return account.username, account.password, account.identity_token


@pytest.mark.parametrize(
    ("key", "server"),
    [
        ("reg.test:5000", "reg.test:5000"),
        ("http://reg.test:5000", "reg.test:5000"),
        ("https://reg.test:5000/v1/", "reg.test:5000"),
        (HUB, HUB),
    ],
)
def test_the_file(tmp_path: Path, key: str, server: str) -> None:
    """An entry under any of the forms that were ever written."""
    config = configured(tmp_path, {"auths": {key: {"auth": "Ym9iOnM6ZQ=="}, "other": 3}})
    assert shown(credentials.load(config, server)) == ("bob", "s:e", "")
    assert shown(credentials.load(config, "unknown")) == ("", "", "")
    assert shown(credentials.load(config, "other")) == ("", "", "")


@pytest.mark.parametrize("auth", ["!", "Ym9i", ""])
def test_entries_that_are_none(tmp_path: Path, auth: str) -> None:
    config = configured(tmp_path, {"auths": {"a": {"auth": auth}}})
    assert shown(credentials.load(config, "a")) == ("", "", "")


def test_what_the_daemon_is_sent(tmp_path: Path) -> None:
    """X-Registry-Auth: base64url of an AuthConfig, an empty one for whom nothing is known."""
    config = configured(tmp_path, {"auths": {HUB: {"auth": "Ym9iOn4/fj8=", "identitytoken": "t"}}})
    sent = base64.urlsafe_b64decode(credentials.header(config, "docker.io"))
    assert json.loads(sent) == {"username": "bob", "identitytoken": "t", "serveraddress": HUB}
    assert base64.urlsafe_b64decode(credentials.header(config, "reg.test")) == b"{}"


@pytest.mark.parametrize("content", [{"credsStore": "x"}, {"credHelpers": {"reg.test": "x"}}])
def test_a_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, Any]) -> None:
    """Store, get and erase; in the file there is no more than that there is an account."""
    helper(tmp_path, "x", HELPER, monkeypatch)
    config = configured(tmp_path, content)
    assert shown(credentials.load(config, "reg.test")) == ("", "", "")
    credentials.store(config, Account("reg.test", "bob", "secret"))
    assert json.loads((tmp_path / "kept").read_text()) == {
        "ServerURL": "reg.test",
        "Username": "bob",
        "Secret": "secret",
    }
    assert json.loads((tmp_path / "config.json").read_text())["auths"] == {"reg.test": {}}
    assert shown(credentials.load(config, "reg.test")) == ("bob", "secret", "")
    credentials.store(config, Account("reg.test", "bob", identity_token="token"))
    assert shown(credentials.load(config, "reg.test")) == ("", "", "token")
    credentials.erase(config, "reg.test")
    assert shown(credentials.load(config, "reg.test")) == ("", "", "")
    assert json.loads((tmp_path / "config.json").read_text())["auths"] == {}
    assert set((tmp_path / "calls").read_text().split()) == {"store", "get", "erase"}


def test_helpers_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker's words, with what the helper says."""
    helper(tmp_path, "x", BROKEN, monkeypatch)
    config = configured(tmp_path, {"credsStore": "x", "credHelpers": {"gone": "nosuch"}})
    text = r"error getting credentials - err: exit status 3, out: `the keyring is locked`"
    with pytest.raises(Failure, match=text):
        credentials.load(config, "reg.test")
    with pytest.raises(Failure, match='"docker-credential-nosuch": executable file not found'):
        credentials.store(config, Account("gone", "bob", "x"))


def test_the_desktops_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Used when nothing is configured and nothing is in the file, else not."""
    helper(tmp_path, "secretservice", HELPER, monkeypatch)
    credentials.store(configured(tmp_path, {}), Account("reg.test", "bob", "x"))
    assert (tmp_path / "kept").exists()
    config = configured(tmp_path, {"auths": {"a": {"auth": "Ym9iOng="}}})
    assert shown(credentials.load(config, "a")) == ("bob", "x", "")


def test_the_warning(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Once, when something is written."""
    config = Config(str(tmp_path))
    for _ in range(2):
        credentials.store(config, Account("reg.test", "bob", "x"))
    assert capfd.readouterr().err.count("stored unencrypted") == 1
