"""The device filter, which on v2 is a program in the kernel."""

from __future__ import annotations

from tests.machine.v2.checks import check
from tests.machine.v2.house import House, same

READ = "dd if=/tmp/b of=/dev/null bs=512 count=1"
MAKE = "mknod /tmp/b b 254 0"  # the machine's disk


@check
def node_can_be_made_but_not_opened(house: House) -> None:
    """Whoever makes a node for the host's disk cannot open it."""
    result = house.shell("--", f"{MAKE} && echo made; {READ}")
    same(result.code, 1)
    same(result.out, "made\n")
    assert "dd: can't open '/tmp/b': Operation not permitted" in result.err


@check
def device_flag_opens_it(house: House) -> None:
    """--device gives the node and what was asked of it, no more."""
    assert (
        house.shell(
            "--device=/dev/vda:/dev/disk", "--", "dd if=/dev/disk of=/dev/null count=1"
        ).code
        == 0
    )
    script = "dd if=/dev/disk of=/dev/null count=1 && : >>/dev/disk"
    result = house.shell("--device=/dev/vda:/dev/disk:r", "--", script)
    assert result.code != 0
    assert "/dev/disk: Operation not permitted" in result.err, result


@check
def device_rule_opens_it(house: House) -> None:
    """--device-cgroup-rule lets a node that the container made be read."""
    result = house.shell("--device-cgroup-rule=b 254:* r", "--", f"{MAKE} && {READ} && : >>/tmp/b")
    assert "1+0 records in" in result.err, result
    assert "/tmp/b: Operation not permitted" in result.err, result


@check
def privileged_opens_everything(house: House) -> None:
    """No filter, and all of the host's devices."""
    result = house.shell("--privileged", "--", f"{MAKE} && {READ} && test -b /dev/vda")
    same(result.code, 0)


@check
def usual_devices_work(house: House) -> None:
    """null, zero, random, a terminal of its own, and pseudo terminals can be opened and written."""
    script = "for f in null zero full random urandom tty ptmx; do : </dev/$f || echo no $f; done; echo x >/dev/null; tty"
    result = house.shell("-t", "--", script)
    assert result.out in ("/dev/pts/0\r\n", "/dev/console\r\n"), result


@check
def exec_is_filtered_too(house: House) -> None:
    """A second process is under the same program."""
    container = house.start()
    result = container.exec("sh", "-c", f"{MAKE}; {READ}")
    assert "Operation not permitted" in result.err, result
    same(house.start("--privileged").exec("sh", "-c", f"{MAKE}; {READ}").code, 0)
