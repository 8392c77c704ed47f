"""The command starts quickly because nothing slow to import is on the way of what people call most."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import cli_cases

SOURCE = Path(__file__).parents[3] / "src"
SLOW = frozenset(
    [
        "re",
        "json",
        "enum",
        "dataclasses",
        "typing",
        "argparse",
        "asyncio",
        "http.client",
        "importlib.metadata",
        "socket",
        "signal",
        "subprocess",
        "pathlib",
        "threading",
        "functools",
        "collections",
        "inspect",
        "logging",
        "shutil",
        "tempfile",
        "urllib.parse",
        "msgspec",
        "aiohttp",
        "datetime",
        "ast",
        "contextlib",
        "selectors",
        "hashlib",
        "string",
        "textwrap",
    ]
)
PROGRAM = """
import sys, os
sys.path.insert(0, {source!r})
before = set(sys.modules)
from sampan.cli import main
code = main.run(sys.argv[1:])
print("\\n".join(sorted(set(sys.modules) - before)), file=sys.stderr)
os._exit(code)
"""


def imported(arguments: list[str], directory: Path) -> set[str]:
    """What a new interpreter has imported when the command has done its work."""
    with cli_cases.daemon(directory) as server:
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                PROGRAM.format(source=str(SOURCE)),
                "-H",
                server.host,
                *arguments,
            ],
            input=b"",
            capture_output=True,
            timeout=60,
            env={**os.environ, "HOME": str(directory)},
        )
    words = done.stderr.decode().splitlines()
    assert "sampan.cli.main" in words, done.stderr
    return set(words)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ps"],
        ["ps", "-a", "--format", "{{.Names}}"],
        ["run", "--rm", "-i", "-v", "/a:/b", "-p", "80:80", "-m", "1g", "busybox", "cat"],
        ["run", "-d", "--network", "host", "busybox"],
        ["inspect", "x"],
        ["inspect", "-f", "{{.State.Running}}", "x"],
        ["version"],
        ["exec", "x", "true"],
        ["images"],
        ["logs", "x"],
        ["stop", "x"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_nothing_slow_is_imported(arguments: list[str], tmp_path: Path) -> None:
    assert imported(arguments, tmp_path) & SLOW == set()


def test_only_the_rooms_below_and_the_modules_of_the_command_are_imported(tmp_path: Path) -> None:
    ours = {name for name in imported(["ps"], tmp_path) if name.startswith("sampan")}
    assert {name for name in ours if name.startswith("sampan.cli.commands.")} == {
        "sampan.cli.commands.table",
        "sampan.cli.commands.ps",
    }
    assert not {name for name in ours if name.startswith(("sampan.cli.container", "sampan.engine"))}


def test_a_slow_import_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"broken":')
    assert "json" in imported(["ps"], tmp_path)
