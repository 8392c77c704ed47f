"""The log file: whole records, rotation by rename, a disk that is full or torn."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.monitor.log import Log


def texts(path: Path) -> list[str]:
    return [json.loads(line)["log"] for line in path.read_bytes().splitlines()]


def family(path: Path) -> list[Path]:
    """Oldest first."""
    old = [each for each in path.parent.iterdir() if each.name.startswith(path.name + ".")]
    return [*sorted(old, key=lambda each: -int(each.suffix[1:])), path]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Writes beyond it fail with EFBIG, the part before it is written: as on a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x-json.log"


def test_records_are_appended_by_stream(path: Path) -> None:
    """Also to what a former run left; mode as dockerd's."""
    for _ in range(2):
        log = Log(str(path))
        log.write("stdout", b"a\nb")
        log.write("stderr", b"e\n")
        log.close()
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [(each["log"], each["stream"]) for each in found] == [
        ("a\n", "stdout"),
        ("e\n", "stderr"),
        ("b", "stdout"),
    ] * 2
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_torn_record_of_a_crash_does_not_swallow_the_next(path: Path) -> None:
    """Its line is ended first."""
    path.write_bytes(b'{"log":"whole\\n","stream":"stdout","time":"T"}\n{"log":"to')
    log = Log(str(path))
    log.write("stdout", b"next\n")
    log.close()
    lines = path.read_bytes().splitlines()
    assert lines[1] == b'{"log":"to'
    assert json.loads(lines[2])["log"] == "next\n"


@pytest.mark.parametrize("max_file", [1, 2, 3, 5])
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_rotation_is_dockerds(path: Path, max_file: int, chunk: int) -> None:
    """A file is left by the first record that finds it full; dockerd 20.10 made the same sizes of 40
    lines in files of 1 kB (1013, 1012 and 78 bytes), and keeps one old file even for max-file=1."""
    log = Log(str(path), max_size=1000, max_file=max_file)
    lines = [b"line %d\n" % number for number in range(1, 41)]
    for at in range(0, 40, chunk):
        log.write("stdout", b"".join(lines[at : at + chunk]))
    log.close()
    files = family(path)
    assert len(files) == max(2, min(max_file, len(files)))
    kept = [text for each in files for text in texts(each)]
    assert kept == [line.decode() for line in lines][-len(kept) :]
    for each in files[:-1]:
        assert 1000 <= each.stat().st_size < 1000 + 100
    assert log.dropped == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=30), st.integers(1, 2000))
def test_rotation_never_splits_or_loses_a_record(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], max_size: int
) -> None:
    """All files together are what one file without rotation is, but for the times."""
    folder = tmp_path_factory.mktemp("log")
    plain, rotated = folder / "plain", folder / "rotated"
    for path, size in ((plain, 0), (rotated, max_size)):
        log = Log(str(path), max_size=size, max_file=10**6)
        for part in parts:
            log.write("stdout", part)
        log.close()
    assert [text for path in family(rotated) for text in texts(path)] == texts(plain)


def test_a_reader_of_the_old_file_keeps_its_place(path: Path) -> None:
    """Nothing is truncated: an open descriptor reads to the end of what it had."""
    log = Log(str(path), max_size=100, max_file=2)
    log.write("stdout", b"first\n")
    with path.open("rb") as reader:
        log.write("stdout", b"second\nthird\nfourth\nfifth\n")
        assert json.loads(reader.read().splitlines()[0])["log"] == "first\n"
    log.close()


def test_a_rotation_that_fails_goes_on_in_the_file(path: Path) -> None:
    """No record is lost for it, also when the disk is full then; later it succeeds."""
    log = Log(str(path), max_size=100, max_file=2)
    path.with_name(path.name + ".1").mkdir()
    log.write("stdout", b"".join(b"%d\n" % number for number in range(20)))
    size = path.stat().st_size
    with file_size_limit(size + 10):
        log.write("stdout", b"full\n")
    assert path.stat().st_size == size
    path.with_name(path.name + ".1").rmdir()
    log.write("stdout", b"".join(b"%d\n" % number for number in range(20, 40)))
    log.close()
    assert log.dropped == 1
    kept = [text for each in family(path) for text in texts(each)]
    assert kept == [f"{number}\n" for number in range(40)][-len(kept) :]
    assert len(texts(path)) <= 2


def test_a_full_disk_takes_whole_records_and_counts_the_rest(path: Path) -> None:
    """Half a record is taken back; when there is room again, it goes on."""
    log = Log(str(path))
    with file_size_limit(500):
        log.write("stdout", b"".join(b"%d\n" % number for number in range(20)))
        log.write("stdout", b"20\n")
    written = texts(path)
    assert written == [f"{number}\n" for number in range(len(written))]
    assert 0 < len(written) < 20
    assert log.dropped == 21 - len(written)
    log.write("stdout", b"again\n")
    log.close()
    assert texts(path) == [*written, "again\n"]


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    """A container that could not be logged is not started."""
    with pytest.raises(FileNotFoundError):
        Log(str(tmp_path / "no" / "log"))


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    """The log is written as root."""
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(OSError, match="symbolic"):
        Log(str(path))
    assert not (tmp_path / "elsewhere").exists()


def unpacked(path: Path) -> list[str]:
    """The texts of a file and of all its old ones, oldest first."""
    found: list[str] = []
    for number in range(20, 0, -1):
        plain, packed = Path(f"{path}.{number}"), Path(f"{path}.{number}.gz")
        data = gzip.decompress(packed.read_bytes()) if packed.exists() else b""
        data = plain.read_bytes() if plain.exists() else data
        found += [json.loads(line)["log"] for line in data.splitlines()]
    return found + texts(path)


def wait_for_child(log: Log) -> None:
    pid, status = os.waitpid(-1, 0)
    assert log.reaped(pid, status)


def test_old_files_are_packed(path: Path) -> None:
    """One at a time, in a child; the packed file says which one it was, and keeps its times."""
    log = Log(str(path), max_size=1000, max_file=4, compress=True)
    log.write("stdout", b"".join(b"%d\n" % number for number in range(20)))
    identity = os.stat(f"{path}.1")
    while log.busy:
        wait_for_child(log)
    packed = Path(f"{path}.1.gz")
    assert not Path(f"{path}.1").exists()
    assert packed.read_bytes()[10:].split(b"\0")[0] == (
        f"{identity.st_ino}-{identity.st_mtime_ns}".encode()
    )
    assert packed.stat().st_mtime_ns == identity.st_mtime_ns
    log.close()
    assert unpacked(path) == [f"{number}\n" for number in range(20)]


def test_rotation_while_a_file_is_packed(path: Path) -> None:
    """Its name moves on meanwhile; nothing is lost but what has to go, and no stage is left."""
    log = Log(str(path), max_size=1000, max_file=3, compress=True)
    for number in range(200):
        log.write("stdout", b"%d\n" % number)
        if number % 40 == 39:
            wait_for_child(log)
    while log.busy:
        wait_for_child(log)
    log.close()
    kept = unpacked(path)
    assert kept == [f"{number}\n" for number in range(200)][-len(kept) :]
    assert len(kept) >= 26
    names = {each.name[len(path.name) :] for each in path.parent.iterdir()}
    assert names == {"", ".1.gz", ".2.gz"}


def test_a_file_that_another_monitor_has_moved(path: Path) -> None:
    """What was packed is given up: the name belongs to another file by now."""
    log = Log(str(path), max_size=1000, max_file=3, compress=True)
    log.write("stdout", b"".join(b"%d\n" % number for number in range(20)))
    os.rename(f"{path}.1", f"{path}.2")
    Path(f"{path}.1").write_text("other")
    _, status = os.waitpid(-1, 0)
    log._compressor.finish(status)  # type: ignore[union-attr]
    assert Path(f"{path}.1").read_text() == "other"
    assert not Path(f"{path}.1.gz").exists()
    assert Path(f"{path}.2").exists()
    log.close()


def test_attributes(path: Path) -> None:
    """They stand in every record, by name, between stream and time, escaped as Go does."""
    log = Log(str(path), attributes={"b": "<1>", "a": "x"})
    log.write("stdout", b"hi\n")
    log.close()
    assert path.read_bytes().startswith(
        b'{"log":"hi\\n","stream":"stdout","attrs":{"a":"x","b":"\\u003c1\\u003e"},"time":"'
    )
