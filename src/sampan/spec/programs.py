"""The programs that sampan makes itself: what the built-in image runs, the first process of `--init`, and one that runs
another from sealed memory.

All are static ELF files of less than a kilobyte, generated (`assembler.py`) and not compiled, so that
neither a C compiler nor somebody else's binary is needed.
"""

from __future__ import annotations

from sampan.spec.assembler import Assembler, assembler

SIGCHLD, SIG_SETMASK, WNOHANG, TIOCSPGRP = 17, 2, 1, 0x5410
EACCES, EINVAL = 13, 22
AT_FDCWD, AT_EMPTY_PATH, O_CLOEXEC = -100, 0x1000, 0o2000000
MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_EXEC = 1, 2, 0x10
F_ADD_SEALS, ALL_SEALS = 1033, 0xF  # of itself, shrinking, growing, writing
MOST_AT_ONCE = 0x7FFFF000  # sendfile(2)
DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FAILED = b"init: cannot execute the command\n"
# An environment string and an argument have at most 128 KiB each (MAX_ARG_STRLEN, execve(2)): a path
# joined of the two fits below the stack.
SCRATCH = 272 * 1024
PATH_BUFFER = 64  # offset in the scratch space; before it: a signal set (8 bytes), an int at 16


def print_program(arch: str, text: bytes) -> bytes:
    """An executable that writes `text` to its standard output and exits with 0."""
    program = assembler(arch)
    program.address("a", "text")
    program.set("b", len(text))
    program.label("more")
    program.syscall("c", "write", 1, "a", "b")
    program.jump_if("c", "<", 1, "failed")
    program.add("a", "c")
    program.label("count")  # b -= c, one at a time: there is no subtraction
    program.jump_if("c", "==", 0, "counted")
    program.add("c", -1)
    program.add("b", -1)
    program.jump("count")
    program.label("counted")
    program.jump_if("b", "!=", 0, "more")
    program.syscall("c", "exit_group", 0)
    program.label("failed")
    program.syscall("c", "exit_group", 1)
    program.data("text", text)
    return program.elf()


def init_program(arch: str) -> bytes:
    """`init -- COMMAND [ARGUMENT…]`: run the command, pass every signal on to it, reap orphans, exit as it did.

    The command gets a process group of its own and, with a terminal, the foreground; it is searched in
    PATH. Exit code: the command's, 128 + the signal that ended it, 126 or 127 when it cannot be executed.
    """
    p = assembler(arch)
    p.stack("a")  # [a] = argc, then argv, a null, and the environment
    p.load("t", "a", 0, 8)
    p.jump_if("t", "<", 3, "usage")
    p.move("b", "a")
    p.add("b", 24)  # b = address of argv[2]
    p.move("c", "t")
    p.shift_left("c", 3)
    p.add("c", "a")
    p.add("c", 16)  # c = environment
    p.move("f", "a")
    p.add("f", -SCRATCH)
    p.set("t", -1)
    p.store("t", "f", 0, 8)
    p.syscall("t", "rt_sigprocmask", SIG_SETMASK, "f", 0, 8)
    p.syscall("e", "clone", SIGCHLD, 0, 0, 0, 0)
    p.jump_if("e", "==", 0, "child")
    p.jump_if("e", "<", 0, "usage")
    _wait(p)
    _child(p)
    p.label("usage")
    p.syscall("t", "exit_group", 1)
    p.data("failed-text", FAILED)
    p.data("default-path", DEFAULT_PATH + b"\0")
    return p.elf()


def _wait(p: Assembler) -> None:
    """e = the command's process id. Wait for signals; on SIGCHLD reap, else pass it on."""
    p.label("wait")
    p.syscall("d", "rt_sigtimedwait", "f", 0, 0, 8)
    p.jump_if("d", "<", 0, "wait")
    p.jump_if("d", "==", SIGCHLD, "reap")
    p.syscall("t", "kill", "e", "d")
    p.jump("wait")
    p.label("reap")
    p.move("a", "f")
    p.add("a", 16)
    p.syscall("d", "wait4", -1, "a", WNOHANG, 0)
    p.jump_if("d", "<", 1, "wait")
    p.jump_if("d", "!=", "e", "reap")
    p.load("t", "f", 16, 4)  # wait status: signal in the low seven bits, else code in the next byte
    p.move("u", "t")
    p.shift_left("u", 57)
    p.shift_right("u", 57)
    p.jump_if("u", "!=", 0, "signalled")
    p.shift_left("t", 48)
    p.shift_right("t", 56)
    p.syscall("v", "exit_group", "t")
    p.label("signalled")
    p.add("u", 128)
    p.syscall("v", "exit_group", "u")


def _child(p: Assembler) -> None:
    """Become the command: group, foreground, signals, then every folder of PATH in turn."""
    p.label("child")
    p.syscall("t", "setpgid", 0, 0)
    p.syscall("t", "getpid")
    p.store("t", "f", 16, 4)
    p.move("a", "f")
    p.add("a", 16)
    p.syscall("t", "ioctl", 0, TIOCSPGRP, "a")  # while SIGTTOU is blocked; fails without a terminal
    p.set("t", 0)
    p.store("t", "f", 0, 8)
    p.syscall("t", "rt_sigprocmask", SIG_SETMASK, "f", 0, 8)
    p.load("d", "b", 0, 8)  # d = the command's name
    p.move("e", "d")
    p.label("slash")
    p.load("t", "e", 0, 1)
    p.jump_if("t", "==", 0, "search")
    p.jump_if("t", "==", ord("/"), "direct")
    p.add("e", 1)
    p.jump("slash")
    p.label("direct")
    p.syscall("t", "execve", "d", "b", "c")
    p.jump_if("t", "==", -EACCES, "denied")
    p.jump("failed")
    _search(p)
    p.label("failed")
    p.address("a", "failed-text")
    p.syscall("t", "write", 2, "a", len(FAILED))
    p.syscall("t", "exit_group", 127)
    p.label("denied")
    p.address("a", "failed-text")
    p.syscall("t", "write", 2, "a", len(FAILED))
    p.syscall("t", "exit_group", 126)


def _search(p: Assembler) -> None:
    """d = name without a slash: find PATH in the environment c, try each of its folders."""
    p.label("search")
    p.move("a", "c")
    p.label("variable")
    p.load("e", "a", 0, 8)
    p.jump_if("e", "==", 0, "unset")
    p.load("t", "e", 0, 4)
    p.jump_if("t", "!=", int.from_bytes(b"PATH", "little"), "other")
    p.load("t", "e", 4, 1)
    p.jump_if("t", "==", ord("="), "found")
    p.label("other")
    p.add("a", 8)
    p.jump("variable")
    p.label("unset")
    p.address("e", "default-path")
    p.jump("folder")
    p.label("found")
    p.add("e", 5)
    p.label("folder")
    p.move("a", "f")
    p.add("a", PATH_BUFFER)
    p.label("copy")
    p.load("u", "e", 0, 1)
    p.jump_if("u", "==", 0, "join")
    p.jump_if("u", "==", ord(":"), "join")
    p.store("u", "a", 0, 1)
    p.add("a", 1)
    p.add("e", 1)
    p.jump("copy")
    p.label("join")
    p.set("t", ord("/"))
    p.store("t", "a", 0, 1)
    p.move("v", "d")
    p.label("name")
    p.add("a", 1)
    p.load("t", "v", 0, 1)
    p.store("t", "a", 0, 1)
    p.add("v", 1)
    p.jump_if("t", "!=", 0, "name")
    p.move("a", "f")
    p.add("a", PATH_BUFFER)
    p.syscall("t", "execve", "a", "b", "c")
    p.add("e", 1)
    p.jump_if("u", "!=", 0, "folder")


def sealed_program(arch: str) -> bytes:
    """`sealed PROGRAM [ARGUMENT…]`: become PROGRAM, run from a copy in memory that nobody can write (`linux/seal.py`).

    Its name stays its argument 0. Where there is no such copy to be had, the program itself is run: whoever must know
    asks his own /proc/self/exe.
    """
    p = assembler(arch)
    p.stack("a")
    p.load("t", "a", 0, 8)
    p.jump_if("t", "<", 2, "usage")
    p.move("b", "a")
    p.add("b", 16)  # b = address of argv[1]
    p.move("c", "t")
    p.shift_left("c", 3)
    p.add("c", "a")
    p.add("c", 16)  # c = environment
    p.load("d", "b", 0, 8)  # d = the program's path
    p.syscall("e", "openat", AT_FDCWD, "d", O_CLOEXEC, 0)
    p.jump_if("e", "<", 0, "plain")
    p.address("a", "name")
    p.syscall("f", "memfd_create", "a", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)
    p.jump_if("f", "!=", -EINVAL, "made")  # before Linux 6.3
    p.syscall("f", "memfd_create", "a", MFD_CLOEXEC | MFD_ALLOW_SEALING)
    p.label("made")
    p.jump_if("f", "<", 0, "plain")
    p.label("copy")
    p.syscall("t", "sendfile", "f", "e", 0, MOST_AT_ONCE)
    p.jump_if("t", "<", 0, "plain")
    p.jump_if("t", "!=", 0, "copy")
    p.syscall("t", "fcntl", "f", F_ADD_SEALS, ALL_SEALS)
    p.jump_if("t", "<", 0, "plain")
    p.address("a", "empty")
    p.syscall("t", "execveat", "f", "a", "b", "c", AT_EMPTY_PATH)
    p.label("plain")
    p.syscall("t", "execve", "d", "b", "c")
    p.label("usage")
    p.syscall("t", "exit_group", 127)
    p.data("name", b"python\0")
    p.data("empty", b"\0")
    return p.elf()
