"""A virtual machine of the tests' own: boots in seconds without KVM, runs one script, says how it ended.

`run(image, script)` boots, runs the script as root with our code at /payload, and powers off; its disk is
as built at every boot. By hand, with a shell on the console:

    python -m tests.machine.vm shell
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.machine.image import Image, image, payload_tar

QEMU = "qemu-system-x86_64"
MEMORY = "1024M"
CPUS = 2
KERNEL_WORDS = "console=ttyS0 panic=-1 quiet mitigations=off random.trust_cpu=on"
BEGIN, END = "@begin\n", "\n@exit "


def unavailable() -> str | None:
    """Why this host cannot run the machine; None when it can."""
    if platform.machine() != "x86_64":
        return f"the test machine is x86-64, this is {platform.machine()}"
    if shutil.which(QEMU) is None:
        return f"{QEMU} is not installed (Debian package qemu-system-x86)"
    return None


@dataclass(frozen=True)
class Outcome:
    code: int | None
    """The script's exit code; None when the machine ended without it, or the time was over."""

    output: str
    console: str
    """The kernel's messages, after qemu's own."""

    seconds: float
    qemu: int = 0
    """How qemu itself ended: negative is a signal, -9 the deadline."""

    def __str__(self) -> str:
        ending = f"exit code {self.code} after {self.seconds:.0f} s, of qemu {self.qemu}"
        return f"{ending}\n{self.output[-8000:]}\nconsole:\n{self.console[-4000:]}"


def pytest_script(*paths: str) -> str:
    """Runs these tests in there, a line a result."""
    words = "-v --color=no --tb=short -p no:cacheprovider -o console_output_style=classic"
    words += " -o tmp_path_retention_policy=none"  # /tmp is memory there
    return f"""\
chmod a+rx /payload; chmod -R a+rX /payload/src
mkdir -p /usr/local/bin
busybox --install -s /usr/local/bin; rm -f /usr/local/bin/ip /usr/local/bin/setpriv
exec python3 -m pytest {words} {" ".join(paths)}
"""


def run(made: Image, script: str, *, deadline: float, words: str = "") -> Outcome:
    """Boot, run, power off; after `deadline` seconds the machine is killed. `words` are for its kernel and init."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="machine-") as name:
        folder = Path(name)
        (folder / "payload.tar").write_bytes(payload_tar(made, script))
        serial = [f"file:{folder / port}" for port in ("console", "output")]
        with open(folder / "errors", "wb") as errors:
            process = subprocess.Popen(
                _command(made, folder / "payload.tar", serial, f"{KERNEL_WORDS} {words}"),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env={**os.environ, "TMPDIR": name},  # what is written to the disk goes here
            )
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            process.wait()
        texts = [_read(folder / part) for part in ("output", "errors", "console")]
    code, output = parse(texts[0])
    seconds = time.monotonic() - begun
    return Outcome(code, output, texts[1] + texts[2], seconds, process.returncode)


def parse(serial: str) -> tuple[int | None, str]:
    """Exit code and output in what came out of the second serial port; cut off is no error."""
    _, _, rest = serial.partition(BEGIN)
    output, found, code = ("\n" + rest).rpartition(END)
    if not found or not code.strip().isdigit():
        return None, rest
    return int(code), output[1:] + "\n"


def _read(path: Path) -> str:
    return path.read_bytes().decode(errors="replace") if path.exists() else ""


def _command(made: Image, payload: Path, serial: list[str], words: str) -> list[str]:
    command = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-accel", "tcg,thread=multi", "-cpu", "max"]
    command += ["-smp", str(CPUS), "-m", MEMORY]
    command += ["-kernel", str(made.kernel), "-initrd", str(made.initrd), "-append", words]
    command += ["-drive", f"file={made.disk},format=raw,if=virtio,snapshot=on"]
    command += ["-drive", f"file={payload},format=raw,if=virtio,readonly=on"]
    for port in serial:
        command += ["-serial", port]
    return command


def shell() -> int:
    """An interactive machine; Ctrl-A X ends it, as does leaving the shell."""
    made = image()
    with tempfile.TemporaryDirectory(prefix="machine-") as name:
        payload = Path(name, "payload.tar")
        payload.write_bytes(payload_tar(made, ""))
        command = _command(made, payload, ["mon:stdio"], f"{KERNEL_WORDS} machine.shell")
        return subprocess.run(command, env={**os.environ, "TMPDIR": name}).returncode


def main(words: list[str]) -> int:
    reason = unavailable()
    if reason is not None or words != ["shell"]:
        print(reason or __doc__, file=sys.stderr)
        return 1
    return shell()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
