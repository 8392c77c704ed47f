"""Verifies what starting a command says and does, to the letter of the reference engine."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sampan.runtime.create import Created
from sampan.runtime.failure import RuntimeFailure
from tests.kernel.conftest import Box, Capture

PREFIX = "unable to start container process: "


@pytest.mark.parametrize(
    ("command", "text", "exit_code"),
    [
        ("foo", 'exec: "foo": executable file not found in $PATH', 127),
        ("", 'exec: "": executable file not found in $PATH', 127),
        ("/foo", 'exec: "/foo": stat /foo: no such file or directory', 127),
        ("./x", 'exec: "./x": stat ./x: no such file or directory', 127),
        ("/etc/passwd/x", 'exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory', 127),
        ("/etc/passwd", 'exec: "/etc/passwd": permission denied', 126),
        ("/etc", 'exec: "/etc": permission denied', 126),
    ],
)
def test_a_command_that_cannot_be_found(box: Box, command: str, text: str, exit_code: int) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        box.create(box.config(command))
    assert str(caught.value) == PREFIX + text
    assert caught.value.exit_code == exit_code


@pytest.mark.parametrize("path", [".", ":", "", "bin"])
def test_a_relative_path_entry_is_no_invitation(box: Box, path: str) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        box.create(box.config("ls", env=[f"PATH={path}"], cwd="/bin" if path != "bin" else "/"))
    text = (
        "cannot run executable found relative to current directory"
        if path
        else "executable file not found in $PATH"
    )
    assert str(caught.value) == f'{PREFIX}exec: "ls": {text}'


def test_the_last_path_of_the_environment_counts_and_reaches_the_command(box: Box) -> None:
    environment = ["PATH=/nowhere", "A=1", "PATH=/bin", "A=2", "odd"]
    config = box.config("cat", "/proc/self/environ", env=environment)
    assert box.run(config=config).output.split("\0")[:-1] == environment


@pytest.mark.parametrize("content", ["just text\n", "#!/missing/interpreter\n"])
def test_what_execve_refuses_has_started_and_says_so_itself(box: Box, content: str) -> None:
    script = box.lower / "bin/script"
    script.write_text(content)
    script.chmod(0o755)
    result = box.run("/bin/script")
    reason = "no such file or directory" if "!" in content else "exec format error"
    assert (result.status, result.errors) == (1, f"exec /bin/script: {reason}\n")


@pytest.mark.parametrize(("script", "status"), [("exit 42", 42), ("kill -9 $$; sleep 9", 137)])
def test_the_exit_status(box: Box, script: str, status: int) -> None:
    # Not as process 1, whom the kernel spares its own signals.
    assert box.run("sh", "-c", f"sh -c '{script}'; exit $?").status == status


def test_the_working_directory_is_made_and_entered(box: Box) -> None:
    assert box.run(config=box.config("pwd", cwd="/var/a/b")).output == "/var/a/b\n"


def test_the_working_directory_behind_links_is_made_inside(box: Box, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    os.symlink(str(outside), box.lower / "var/link")
    os.symlink("../var/link", box.lower / "etc/link")
    assert box.run(config=box.config("pwd", cwd="/etc/link/deep")).output == f"{outside}/deep\n"
    assert not outside.exists()


@pytest.mark.parametrize("pid", ["self", "1", "thread-self"])
def test_no_descriptor_of_ours_serves_as_working_directory(box: Box, pid: str) -> None:
    for number in range(64):
        config = box.config("pwd", cwd=f"/proc/{pid}/fd/{number}")
        with pytest.raises(RuntimeFailure, match="mkdir /proc/"):
            box.create(config)


def test_a_file_as_working_directory(box: Box) -> None:
    with pytest.raises(RuntimeFailure, match=r"mkdir /etc/passwd: not a directory$"):
        box.create(box.config("pwd", cwd="/etc/passwd"))


def _mounted(box: Box, source: Path, destination: str, *options: str) -> dict[str, Any]:
    config = box.config("true")
    entry = {"destination": destination, "type": "bind", "source": str(source)}
    config["mounts"].append({**entry, "options": ["rbind", "rprivate", *options]})
    return config


def test_bind_mounts_of_files_and_folders_with_their_flags(box: Box, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_text("content\n")
    config = _mounted(box, folder, "/made/here", "ro", "nosuid", "nodev", "noexec")
    config["mounts"] += _mounted(box, folder / "file", "/etc/made/file")["mounts"][-1:]
    script = "cat /made/here/file /etc/made/file; echo > /made/here/x; cat /proc/self/mountinfo"
    config["process"]["args"] = ["sh", "-c", f"{script}; echo changed > /etc/made/file"]
    result = box.run(config=config)
    assert result.lines()[:2] == ["content"] * 2
    assert "Read-only file system" in result.errors
    flags = {line.split()[4]: line.split()[5:7] for line in result.lines()[2:]}
    assert flags["/made/here"] == ["ro,nosuid,nodev,noexec,relatime", "-"]
    assert flags["/etc/made/file"] == ["rw,relatime", "-"]
    assert (folder / "file").read_text() == "changed\n"
    assert not (folder / "x").exists()


def test_recursive_read_only_reaches_mounts_below(box: Box, tmp_path: Path) -> None:
    config = _mounted(box, Path("/dev"), "/d", "rro")
    config["process"]["args"] = ["cat", "/proc/self/mountinfo"]
    flags = {line.split()[4]: line.split()[5] for line in box.run(config=config).lines()}
    below = {path: words for path, words in flags.items() if path == "/d" or path[:3] == "/d/"}
    assert len(below) > 1
    assert all(words.startswith("ro") for words in below.values())


@pytest.mark.parametrize(
    ("propagation", "tag"), [("rprivate", ""), ("rslave", ""), ("shared", "shared:")]
)
def test_propagation(box: Box, tmp_path: Path, propagation: str, tag: str) -> None:
    (tmp_path / "data").mkdir()
    config = _mounted(box, tmp_path / "data", "/d", propagation)
    config["process"]["args"] = ["cat", "/proc/self/mountinfo"]
    words = {line.split()[4]: line.split()[6] for line in box.run(config=config).lines()}
    assert words["/d"].startswith(tag or "-")


def test_root_propagation(box: Box) -> None:
    config = box.config("cat", "/proc/self/mountinfo")
    config["linux"]["rootfsPropagation"] = "shared"
    words = {line.split()[4]: line.split()[6] for line in box.run(config=config).lines()}
    assert words["/"].startswith("shared:")


@pytest.mark.parametrize(
    ("source", "destination", "number"),
    [("data", "/etc/passwd", "not a directory"), ("data/f", "/etc", "not a directory"),
     ("none", "/x", "no such file or directory")],
)  # fmt: skip
def test_a_mount_that_does_not_fit(
    box: Box, tmp_path: Path, source: str, destination: str, number: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/f").touch()
    with pytest.raises(RuntimeFailure) as caught:
        box.create(_mounted(box, tmp_path / source, destination))
    text = f'error mounting "{tmp_path / source}" to rootfs at "{destination}": {number}'
    assert str(caught.value) == f"{PREFIX}error during container init: {text}"


@pytest.mark.parametrize("destination", ["/proc", "/proc/self", "/proc/sys/net", "/proc/1/attr"])
def test_nothing_is_mounted_inside_proc(box: Box, tmp_path: Path, destination: str) -> None:
    with pytest.raises(RuntimeFailure, match="cannot be mounted because it is"):
        box.create(_mounted(box, tmp_path, destination))


def test_lxcfs_may_replace_a_file_in_proc(box: Box, tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("7\n")
    config = _mounted(box, tmp_path / "uptime", "/proc/uptime")
    config["process"]["args"] = ["cat", "/proc/uptime"]
    assert box.run(config=config).output == "7\n"


def test_the_root_as_a_bind(box: Box) -> None:
    config = box.config("sh", "-c", "echo x > /etc/written; cat /proc/self/mountinfo")
    config["root"] = {"path": str(box.lower)}
    box.run(config=config, root=())
    assert (box.lower / "etc/written").read_text() == "x\n"


def test_many_layers_are_stacked_topmost_first(box: Box, tmp_path: Path) -> None:
    options = []
    for number in range(40):
        layer = tmp_path / f"layer{number}"
        layer.mkdir()
        (layer / "which").write_text(f"{number}\n")
        (layer / f"only{number}").touch()
        options.append(f"lowerdir={layer}")
    root = box.root()[0]
    mount = root._replace(options=(*options, *root.options))
    result = box.run("sh", "-c", "cat /which; ls -d /only*", root=(mount,))
    assert result.lines()[0] == "0"
    assert len(result.lines()) == 41


def test_the_host_never_shows_a_mount_of_a_container(box: Box) -> None:
    config = _mounted(box, box.lower, "/again")
    config["process"]["args"] = ["sleep", "1000"]
    created = box.create(config)
    assert str(box.folder) not in Path("/proc/self/mountinfo").read_text()
    created.start()
    assert str(box.folder) not in Path("/proc/self/mountinfo").read_text()
    # Before Linux 6.7 its layers are named by descriptors.
    assert " / / rw,relatime - overlay " in Path(f"/proc/{created.pid}/mountinfo").read_text()
    box.kill(created)


def test_a_parent_without_standard_descriptors(box: Box) -> None:
    with Capture() as captured:
        pid = os.fork()
        if pid == 0:
            try:
                for fd in (0, 1, 2):
                    os.close(fd)
                stdio = (captured.errors, captured.output, captured.errors)
                created = box.create(
                    box.config("sh", "-c", "echo out; ls /proc/self/fd"), stdio=stdio
                )
                created.start()
                os._exit(box.finish(created))
            finally:
                os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert captured.result(0).lines() == ["out", "0", "1", "2", "3"]


def test_created_is_not_started(box: Box) -> None:
    with Capture() as captured:
        created = box.create(box.config("sh", "-c", "echo ran"), stdio=(0, captured.output, 2))
        assert captured.result(0).output == ""
        created.abort()
        assert captured.result(0).output == ""


def test_init_dies_with_its_parent(box: Box) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            created = box.create(box.config("sleep", "1000"))
            created.start()
            os.write(writer, str(created.pid).encode())
        finally:
            os._exit(0)
    os.close(writer)
    init = int(os.read(reader, 32))
    os.close(reader)
    watch = os.pidfd_open(init)
    os.waitpid(pid, 0)
    try:
        assert _readable(watch)
    finally:
        os.close(watch)
        root = Path("/sys/fs/cgroup")
        for place in (f"*/sampan-test/{box.id}-*", f"sampan-test/{box.id}-*"):
            for folder in sorted(root.glob(place)):
                _remove_when_empty(folder)


def _readable(fd: int) -> bool:
    import select

    return bool(select.select([fd], [], [], 10)[0])


def _remove_when_empty(folder: Path) -> None:
    for _ in range(1000):
        try:
            folder.rmdir()
            return
        except OSError:
            os.sched_yield()
    folder.rmdir()


@pytest.mark.parametrize("when", ["created", "started"])
def test_abort_takes_everything_back(box: Box, when: str) -> None:
    created: Created = box.create(box.config("sleep", "1000"))
    if when == "started":
        created.start()
    created.abort()
    with pytest.raises(ProcessLookupError):
        os.kill(created.pid, 0)


def test_signals_of_the_parent_are_as_before(box: Box) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        assert box.run("true").status == 0
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before | {signal.SIGUSR1}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
