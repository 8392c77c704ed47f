"""Root file systems that the tests make for themselves: nothing is pulled from a public registry.

`busybox_tar()` is Debian's busybox-static with an `/etc/passwd` and `/etc/group` worth asking about;
`debian_tar()` is a Debian of mmdebstrap's from whatever package mirror this machine uses, cached.
"""

from __future__ import annotations

import functools
import io
import os
import subprocess
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
CACHE = Path(os.environ.get("SAMPAN_TEST_CACHE", Path(__file__).parents[1] / ".cache"))
PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www:x:33:33:www:/home/www:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
"""
GROUP = """\
root:x:0:root
wheel:x:10:root
www:x:33:
extra:x:50:www
nogroup:x:65534:
"""
SCRIPT = "#!/bin/sh\necho script ran with $# arguments\n"


class TarBuilder:
    """An uncompressed tar in memory; every member has time stamp 0 unless told otherwise."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(  # noqa: SIM115 - closed by finish()
            fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT
        )

    def add(self, name: str, data: bytes | None = None, **fields: object) -> TarBuilder:
        info = tarfile.TarInfo(name)
        if data is not None:
            info.size = len(data)
        for key, value in fields.items():
            setattr(info, key, value)
        self._tar.addfile(info, io.BytesIO(data) if data is not None else None)
        return self

    def directory(self, name: str, mode: int = 0o755, **fields: object) -> TarBuilder:
        return self.add(name, type=tarfile.DIRTYPE, mode=mode, **fields)

    def symlink(self, name: str, target: str) -> TarBuilder:
        return self.add(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)

    def finish(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()


@functools.cache
def busybox_applets() -> tuple[str, ...]:
    listing = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True)
    return tuple(name for name in listing.stdout.split() if name != "busybox")


@functools.cache
def busybox_tar() -> bytes:
    tar = TarBuilder()
    for name in "bin", "etc", "home", "home/www", "proc", "root", "sys", "dev", "usr", "usr/bin":
        tar.directory(name)
    tar.directory("tmp", 0o1777)
    tar.add("bin/busybox", BUSYBOX.read_bytes(), mode=0o755)
    for applet in busybox_applets():
        tar.symlink(f"bin/{applet}", "busybox")
    tar.add("etc/passwd", PASSWD.encode(), mode=0o644)
    tar.add("etc/group", GROUP.encode(), mode=0o644)
    tar.add("usr/bin/greet", SCRIPT.encode(), mode=0o755)
    tar.add("usr/bin/no-interpreter", b"#!/no/such/interpreter\n", mode=0o755)
    return tar.finish()


def package_sources() -> str:
    """This machine's own list of Debian package sources, for mmdebstrap."""
    return next(
        str(path)
        for path in (
            Path("/etc/apt/sources.list.d/debian.sources"),
            Path("/etc/apt/sources.list"),
        )
        if path.exists() and path.stat().st_size
    )


def debian_tar(*packages: str) -> Path:
    """Path of a minimal Debian root file system as a tar, with these packages besides."""
    path = CACHE / f"{'-'.join(('debian-minbase', *packages))}.tar"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.tar")
        flags = ["--quiet", "--variant=minbase", "--mode=root"]
        flags += [f"--include={package}" for package in packages]
        command = ["mmdebstrap", *flags, "bookworm", partial, package_sources()]
        subprocess.run(command, check=True, timeout=600)
        partial.rename(path)
    return path
