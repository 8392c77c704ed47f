"""The user's config.json: formats, detach keys, proxies, credentials; broken or missing, the command goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sampan.cli.config import Config, default_directory
from sampan.cli.failure import Failure
from tests import cli_cases


def written(directory: Path, content: Any) -> Config:
    (directory / "config.json").write_text(json.dumps(content))
    return Config(str(directory))


def test_texts(tmp_path: Path) -> None:
    config = written(tmp_path, {"psFormat": "x", "detachKeys": 5})
    assert [config.text(key) for key in ("psFormat", "detachKeys", "none")] == ["x", "", ""]


def test_proxies_of_the_host_come_before_the_default(tmp_path: Path) -> None:
    proxies = {
        "default": {"httpProxy": "http://d", "noProxy": "x"},
        "unix:///s": {"httpsProxy": "http://s"},
    }
    config = written(tmp_path, {"proxies": proxies})
    assert config.proxies("unix:///s") == {"HTTPS_PROXY": "http://s", "https_proxy": "http://s"}
    assert config.proxies("tcp://other:1") == {
        "HTTP_PROXY": "http://d",
        "http_proxy": "http://d",
        "NO_PROXY": "x",
        "no_proxy": "x",
    }


def test_auths_are_written(tmp_path: Path) -> None:
    """As docker writes them: tabs, sorted, everything else kept; the mode stays, a link is followed."""
    real = tmp_path / "real.json"
    real.write_text('{"psFormat": "x", "auths": {"z": {"auth": "eg=="}}}')
    real.chmod(0o640)
    (tmp_path / "config.json").symlink_to(real)
    config = Config(str(tmp_path))
    assert config.set_auth("a", {"auth": "YTpi"})
    assert not config.set_auth("a", {"auth": "YTpi"})  # nothing new
    assert real.read_text() == (
        '{\n\t"psFormat": "x",\n\t"auths": {\n\t\t"a": {\n\t\t\t"auth": "YTpi"\n\t\t},\n'
        '\t\t"z": {\n\t\t\t"auth": "eg=="\n\t\t}\n\t}\n}'
    )
    assert real.stat().st_mode & 0o777 == 0o640
    config.remove_auth("a")
    config.remove_auth("nobody")
    assert Config(str(tmp_path)).auths() == {"z": {"auth": "eg=="}}
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "real.json"}


def test_a_new_file_is_the_users_alone(tmp_path: Path) -> None:
    config = Config(str(tmp_path / "new"))
    config.set_auth("a", {})
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "config.json").stat().st_mode & 0o777 == 0o600


def test_a_broken_file_is_not_overwritten(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"psFormat":')
    with pytest.raises(Failure, match="error saving credentials"):
        Config(str(tmp_path)).set_auth("a", {})
    assert (tmp_path / "config.json").read_text() == '{"psFormat":'
    assert "WARNING" in capfd.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", "5", ""])
def test_broken_files_count_as_empty(
    tmp_path: Path, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(content)
    assert Config(str(tmp_path)).text("psFormat") == ""
    assert ("WARNING: Error parsing config file" in capfd.readouterr().err) is (
        content in ("{", "")
    )


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    assert default_directory() == "/home/x/.docker"
    monkeypatch.setenv("DOCKER_CONFIG", "/elsewhere")
    assert default_directory() == "/elsewhere"


def with_config(tmp_path: Path, content: Any, *arguments: str) -> cli_cases.Outcome:
    (tmp_path / "c").mkdir()
    written(tmp_path / "c", content)
    return cli_cases.sampan(["--config", str(tmp_path / "c"), *arguments], tmp_path)


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        (["ps"], "x!\ny!\nz!\n"),
        (["ps", "-q"], "cccccccccccc\ndddddddddddd\neeeeeeeeeeee\n"),
        (["ps", "--format", "{{.State}}"], "running\nexited\ncreated\n"),
        (["images"], "busybox\n<none>\nlocalhost:5000/a/b\nlocalhost:5000/a/b\nx/y\n<none>\n"),
    ],
)
def test_formats_are_used(tmp_path: Path, arguments: list[str], out: str) -> None:
    formats = {"psFormat": "{{.Names}}!", "imagesFormat": "{{.Repository}}"}
    assert with_config(tmp_path, formats, *arguments).out == out


def test_detach_keys_are_sent(tmp_path: Path) -> None:
    outcome = with_config(tmp_path, {"detachKeys": "ctrl-a"}, "run", "-i", "busybox")
    assert any("detachKeys=ctrl-a" in request[1] for request in outcome.requests)


def test_new_containers_get_the_proxies_unless_they_say_otherwise(tmp_path: Path) -> None:
    proxies = {"proxies": {"default": {"httpProxy": "http://p"}}}
    outcome = with_config(tmp_path, proxies, "create", "-e", "HTTP_PROXY=mine", "busybox")
    assert sorted(outcome.requests[0][2]["Env"]) == ["HTTP_PROXY=mine", "http_proxy=http://p"]


def test_pulls_carry_credentials(tmp_path: Path) -> None:
    import base64

    auths = {"auths": {"host:5000": {"auth": base64.b64encode(b"me:se?>cret").decode()}}}
    with cli_cases.daemon(tmp_path) as server:
        config = written(tmp_path, auths)
        from sampan.cli.main import run

        assert (
            run(
                [
                    "-H",
                    server.host,
                    "--config",
                    str(Path(config.path).parent),
                    "create",
                    "--pull",
                    "always",
                    "-q",
                    "host:5000/x",
                ]
            )
            == 0
        )
        sent = server.wait_for("POST", "/images/create").headers["x-registry-auth"]
    assert json.loads(base64.urlsafe_b64decode(sent)) == {
        "username": "me",
        "password": "se?>cret",
        "serveraddress": "host:5000",
    }
