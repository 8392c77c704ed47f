"""What the test machine boots: Debian's cloud kernel, an initrd that finds the disk, a disk, and our code.

Everything is made from Debian's packages and the project's dependencies as wheels, and lies in the cache under
a key of its content; nothing is installed on this host. The parts of an `Image`:

    vmlinuz     the kernel of linux-image-cloud-amd64
    initrd      busybox and the modules for a virtio disk
    disk.ext4   Python 3.11, the project's dependencies, busybox, nft, ip, modules; boots with scratch space on it
    tree/       the same as a folder: its Python compiles our code for the machine
    code-*.tar  src and tests with byte-code; put on a second disk at every boot
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.rootfs import CACHE, package_sources

PROJECT = Path(__file__).parents[2]
RELEASE, PYTHON = "bookworm", "3.11"
PACKAGES = (
    "python3",
    "busybox-static",
    "libnftables1",
    "nftables",
    "iproute2",
    "util-linux",
    "kmod",
    "linux-image-cloud-amd64",
)
SYSTEMD = ("systemd", "dbus")  # of the machine whose first process it is
TEST_TOOLS = ("pytest>=8", "pytest-asyncio>=1.0", "pytest-timeout>=2.3")
DISK_SIZE = "1G"  # sparse
PYTHON_PATH = "/usr/local/lib/python3.11/dist-packages"
PLATFORMS = (
    "manylinux_2_36",
    "manylinux_2_34",
    "manylinux_2_31",
    "manylinux_2_28",
    "manylinux2014",
)
# Modules in the order in which they need each other are modprobe's affair.
BOOT_MODULES = ("virtio_pci", "virtio_blk")
APPLETS = ("sh", "mount", "modprobe", "insmod", "switch_root", "sleep", "reboot", "echo")
NEEDLESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache")

INITRD_INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
modprobe virtio_pci
modprobe virtio_blk
tries=0
until [ -b /dev/vda ]; do
    [ $((tries += 1)) -lt 500 ] || { echo "no disk appeared"; reboot -f; }
    sleep 0.01
done
mount -t ext4 /dev/vda /root || reboot -f
mount -o move /dev /root/dev
exec switch_root /root /init
"""

# The console is ttyS0. What a script writes goes to ttyS1, between two lines that the harness looks for; words on
# the kernel's command line ask for a shell instead, or for systemd, which then runs this once more as a service.
INIT = """\
#!/bin/busybox sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux
if [ "$1" != payload ]; then
/bin/busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
busybox mkdir -p /dev/pts /dev/shm /run /tmp /root /payload
busybox mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
busybox mount -t tmpfs -o mode=755 run /run
busybox mount -t tmpfs -o mode=1777 tmp /tmp
busybox mount -t tmpfs shm /dev/shm
busybox hostname machine
busybox mount -o remount,rw /
ip link set lo up
busybox tar -x -f /dev/vdb -C /payload
fi
case "$1 $(busybox cat /proc/cmdline) " in
payload*) ;;
*" machine.systemd "*)
    busybox mkdir -p /run/systemd/system /etc
    busybox printf '[Unit]\\nDefaultDependencies=no\\n[Service]\\nType=oneshot\\nTimeoutStartSec=infinity\\n' >/run/systemd/system/payload.service
    busybox printf 'ExecStart=/init payload\\nStandardOutput=null\\nStandardError=null\\n' >>/run/systemd/system/payload.service
    exec /lib/systemd/systemd --unit=payload.service
    ;;
esac
export PYTHONPATH=/payload/src:/payload PYTHONDONTWRITEBYTECODE=1
cd /payload
case " $(busybox cat /proc/cmdline) " in
*" machine.shell "*)
    exec 2>/dev/null
    busybox setsid busybox cttyhack busybox sh -l
    ;;
*)
    busybox stty -F /dev/ttyS1 raw -echo
    {
        echo "@begin"
        busybox sh /payload/script 2>&1
        echo "@exit $?"
    } >/dev/ttyS1
    # The last bytes are the emulated port's before the machine goes.
    busybox stty -F /dev/ttyS1 raw -echo
    ;;
esac
busybox sync
exec busybox reboot -f
"""


class Image:
    """Paths of one built image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kernel, self.initrd = folder / "vmlinuz", folder / "initrd"
        self.disk, self.tree = folder / "disk.ext4", folder / "tree"

    def run(self, program: str, *args: str, name: str = "") -> None:
        """Run a program of the tree on this host, by the tree's own loader and libraries.

        Real paths only: links in the tree are absolute and lead out of it.
        """
        libraries = self.tree / "lib/x86_64-linux-gnu", self.tree / "usr/lib/x86_64-linux-gnu"
        loader = [libraries[0] / "ld-linux-x86-64.so.2", "--argv0", name or Path(program).name]
        loader += ["--library-path", ":".join(map(str, libraries))]
        environment = {"PATH": os.environ["PATH"], "PYTHONHOME": str(self.tree / "usr")}
        words = [*loader, self.tree / program, *args]
        subprocess.run(words, check=True, timeout=300, env=environment)


def image(*more: str, name: str = "machine") -> Image:
    """Built at the first call and whenever this file, the dependencies or the release changed.

    With `more` Debian packages it is another one, which has a name of its own.
    """
    parts = [Path(__file__).read_bytes(), *(word.encode() for word in (*more, *requirements()))]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    folder = CACHE / f"{name}-{key}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="machine-making-", dir=CACHE) as made:
            _build(Image(Path(made)), (*PACKAGES, *more))
            Path(made).chmod(0o755)
            for old in CACHE.glob(f"{name}-????????????????"):
                shutil.rmtree(old)
            shutil.move(made, folder)
            Path(made).mkdir()  # for TemporaryDirectory to remove
    return Image(folder)


def requirements() -> list[str]:
    """Without markers: pip would judge them by the Python that runs it, not by the machine's."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [line.partition(";")[0].strip() for line in project["dependencies"]]
    return [*wanted, "typing_extensions", *TEST_TOOLS]


def _build(new: Image, packages: Sequence[str]) -> None:
    bootstrap = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(packages)}"]
    bootstrap += [RELEASE, str(new.tree), package_sources()]
    subprocess.run(bootstrap, check=True, timeout=600)
    for name in NEEDLESS:
        shutil.rmtree(new.tree / name, ignore_errors=True)
    _install_dependencies(new)
    (version,) = [path.name for path in (new.tree / "lib/modules").iterdir()]
    new.run("bin/kmod", "-b", str(new.tree), version, name="depmod")
    shutil.copy(new.tree / "boot" / f"vmlinuz-{version}", new.kernel)
    shutil.rmtree(new.tree / "boot")
    _make_initrd(new, version)
    _make_disk(new)


def _install_dependencies(new: Image) -> None:
    target = new.tree / PYTHON_PATH[1:]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--root-user-action=ignore", "--no-compile", "--target", str(target)]
    pip += ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}"]
    pip += [f"--platform={platform}_x86_64" for platform in PLATFORMS]
    subprocess.run([*pip, *requirements()], check=True, timeout=600)
    compile_for(new, new.tree / "usr/lib/python3.11", "/usr/lib/python3.11")
    compile_for(new, target, PYTHON_PATH)


def compile_for(made: Image, folder: Path, place: str) -> None:
    """Byte-code by the machine's own Python, which will see `folder` at `place`."""
    flags = ["-q", "--invalidation-mode=unchecked-hash", "-s", str(folder), "-p", place]
    made.run("usr/bin/python3.11", "-m", "compileall", *flags, str(folder))


def _make_disk(new: Image) -> None:
    init = new.tree / "init"
    init.write_text(INIT)
    init.chmod(0o755)
    (new.tree / "bin/sh").symlink_to("busybox")
    for name in ("proc", "sys", "run", "tmp", "root", "payload"):
        (new.tree / name).mkdir(exist_ok=True)
    make = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0"]
    subprocess.run([*make, "-d", new.tree, new.disk, DISK_SIZE], check=True, timeout=300)


def _make_initrd(new: Image, version: str) -> None:
    modules = f"lib/modules/{version}"
    entries: list[tuple[str, bytes, int]] = [
        (name, b"", 0o40755) for name in ("bin", "dev", "lib", "proc", "root", "sbin")
    ]
    entries += [("lib/modules", b"", 0o40755), (modules, b"", 0o40755)]
    entries.append(("bin/busybox", (new.tree / "bin/busybox").read_bytes(), 0o100755))
    entries += [(f"bin/{applet}", b"busybox", 0o120777) for applet in APPLETS]
    entries.append(("init", INITRD_INIT.encode(), 0o100755))
    dependencies = _dependencies(new.tree / modules / "modules.dep")
    lines = []
    for name in _closure(dependencies):
        flat = Path(name).name
        entries.append((f"{modules}/{flat}", (new.tree / modules / name).read_bytes(), 0o100644))
        needs = " ".join(Path(other).name for other in dependencies[name])
        lines.append(f"{flat}: {needs}\n")
    entries.append((f"{modules}/modules.dep", "".join(lines).encode(), 0o100644))
    new.initrd.write_bytes(b"".join(_cpio(entries)))


def _dependencies(file: Path) -> dict[str, list[str]]:
    rows = (line.split(":") for line in file.read_text().splitlines())
    return {name: needs.split() for name, needs in rows}


def _closure(dependencies: dict[str, list[str]]) -> list[str]:
    pending = [name for name in dependencies if Path(name).stem in BOOT_MODULES]
    found: dict[str, None] = {}
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = None
            pending += dependencies[name]
    return list(found)


def _cpio(entries: Sequence[tuple[str, bytes, int]]) -> Iterator[bytes]:
    """The `newc` format of the kernel's Documentation/driver-api/early-userspace/buffer-format.rst."""
    for number, (name, data, mode) in enumerate([*entries, ("TRAILER!!!", b"", 0)], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        yield header + bytes(-len(header) % 4)
        yield data + bytes(-len(data) % 4)


def code_tar(made: Image) -> Path:
    """`src` and `tests` as they are now, with byte-code, as a tar to put on the machine's second disk."""
    files = [*(PROJECT / "src").rglob("*.py"), *(PROJECT / "tests").rglob("*.py")]
    files.append(PROJECT / "pyproject.toml")
    contents = {str(path.relative_to(PROJECT)): path.read_bytes() for path in sorted(files)}
    digest = hashlib.sha256()
    for name, data in contents.items():
        digest.update(b"%s\0%d\0%s" % (name.encode(), len(data), data))
    path = made.folder / f"code-{digest.hexdigest()[:16]}.tar"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            for name, data in contents.items():
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            compile_for(made, Path(folder), "/payload")
            partial = path.with_suffix(f".{os.getpid()}")
            with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
                tar.add(folder, ".")
        for old in made.folder.glob("code-*.tar"):
            old.unlink()
        partial.rename(path)
    return path


def payload_tar(made: Image, script: str) -> bytes:
    """The code, and `script` (of busybox's sh) to run at `/payload/script`."""
    buffer = io.BytesIO(code_tar(made).read_bytes())
    with tarfile.open(fileobj=buffer, mode="a", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("script")
        info.size = len(script.encode())
        tar.addfile(info, io.BytesIO(script.encode()))
    return buffer.getvalue()
