"""The command `sampan-runtime`, with runc's command line (`tool/arguments.py`).

The exit status is the command's own for `run` and `exec` in the foreground; 1 when something went wrong, 255
for `exec`, 3 for a command that does not exist.
"""

from __future__ import annotations

import gc
import os
import sys

from sampan.linux import signals as signal
from sampan.linux.kernel import LinuxKernel
from sampan.runtime import loader
from sampan.runtime.failure import RuntimeFailure, reason
from sampan.runtime.tool import rootless
from sampan.runtime.tool.arguments import COMMANDS, Options, UsageError, help_text, parse
from sampan.runtime.tool.journal import Journal
from sampan.runtime.tool.state import OCI_VERSION, Store, ToolError
from sampan.spec.typing import Callable
from sampan.spec.version import VERSION

EXEC_FAILED = 255
UNKNOWN_COMMAND = 3


class Tool:
    """One call of the command."""

    def __init__(self, store: Store, journal: Journal, options: Options, *, systemd: bool) -> None:
        self.kernel = LinuxKernel()
        self.store = store
        self.journal = journal
        self.options = options
        self.systemd = systemd

    @property
    def container_id(self) -> str:
        return self.options.words[0]

    def warn(self, warnings: list[str]) -> int:
        for warning in warnings:
            self.journal.warn(warning)
        return 0

    def create(self) -> int:
        self._make(detached=True)
        return 0

    def run(self) -> int:
        from sampan.runtime.tool import life
        from sampan.runtime.tool.foreground import attend, forward_signals

        detached = self.options.switch("detach")
        made = self._make(detached=detached)
        created = made.created
        if detached:
            life.start(self.kernel, self.store, self.container_id)
            return 0
        try:
            forward_signals(self.kernel, created.pidfd)
            created.start()
            life.run_poststart(self.kernel, self.store, made.record)
            return attend(self.kernel, os.dup(created.pidfd), created.console)
        finally:
            created.abort()
            if not self.options.switch("keep"):
                self.warn(life.destroy(self.kernel, self.store, made.record))

    def _make(self, *, detached: bool):  # type: ignore[no-untyped-def]
        from sampan.runtime.tool.creating import make

        made, warnings = make(
            self.kernel, self.store, self.options, detached=detached, systemd=self.systemd
        )
        self.warn(warnings)
        return made

    def start(self) -> int:
        from sampan.runtime.tool import life

        life.start(self.kernel, self.store, self.container_id)
        return 0

    def exec(self) -> int:
        from sampan.runtime.tool import executing
        from sampan.runtime.tool.foreground import attend, forward_signals

        executed = executing.execute(self.kernel, self.store, self.options)
        self.warn(list(executed.warnings))
        if self.options.switch("detach"):
            executing.leave_running(executed)
            return 0
        forward_signals(self.kernel, executed.pidfd)
        return attend(self.kernel, executed.pidfd, executed.console)

    def kill(self) -> int:
        from sampan.runtime.tool import life

        word = self.options.words[1] if len(self.options.words) > 1 else "SIGTERM"
        number = life.signal_number(word)
        everybody = self.options.switch("all")
        life.kill(self.kernel, self.store, self.container_id, number, everybody=everybody)
        return 0

    def delete(self) -> int:
        from sampan.runtime.tool import life

        force = self.options.switch("force")
        return self.warn(life.delete(self.kernel, self.store, self.container_id, force=force))

    def pause(self) -> int:
        from sampan.runtime.tool import life

        life.pause(self.store, self.container_id)
        return 0

    def resume(self) -> int:
        from sampan.runtime.tool import life

        life.resume(self.store, self.container_id)
        return 0

    def state(self) -> int:
        from sampan.runtime.tool import showing

        showing.show_state(self.store, self.container_id)
        return 0

    def list(self) -> int:
        from sampan.runtime.tool import showing

        form, quiet = self.options.text("format"), self.options.switch("quiet")
        showing.show_list(self.store, form, quiet=quiet)
        return 0

    def ps(self) -> int:
        from sampan.runtime.tool import showing

        form, words = self.options.text("format"), self.options.words
        showing.show_processes(self.store, words[0], form, words[1:])
        return 0

    def events(self) -> int:
        from sampan.runtime.tool import showing

        interval, once = self.options.text("interval"), self.options.switch("stats")
        showing.show_events(self.store, self.container_id, interval, once=once)
        return 0

    def update(self) -> int:
        from sampan.runtime.tool import updating

        return self.warn(updating.update(self.store, self.options))

    def spec(self) -> int:
        from sampan.runtime.tool import describing

        bundle = self.options.text("bundle", ".")
        describing.write_example(bundle, rootless=self.options.switch("rootless"))
        return 0

    def features(self) -> int:
        from sampan.runtime.tool import describing

        describing.show_features()
        return 0


def version_text() -> str:
    return f"{VERSION}\nspec: {OCI_VERSION}"


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    try:
        top, name, own = parse(words)
    except UsageError as error:
        return _refuse(error)
    if top.switch("version"):
        print(f"sampan-runtime version {version_text()}")
        return 0
    if top.switch("help") or own.switch("help") or name in ("", "help", "h"):
        print(help_text(own.words[0] if name == "help" and own.words else name, version_text()))
        return 0
    if name not in COMMANDS:
        text = "checkpoint and restore are not supported"
        unknown = f"No help topic for '{name}'"
        print(text if name in ("checkpoint", "restore") else unknown, file=sys.stderr)
        return 1 if name in ("checkpoint", "restore") else UNKNOWN_COMMAND
    return _carry_out(top, name, own)


def _refuse(error: UsageError) -> int:
    """With the command's help, as runc does it."""
    help_ = help_text(error.command, version_text())
    print(f"{error.title.format(error)}\n\n{help_}")
    journal = _open_journal(error.top)
    if journal is not None:
        journal.error(str(error))
    return 1


def _open_journal(top: Options) -> Journal | None:
    """None when there can be none, which has been said."""
    form = top.text("log-format", "text")
    try:
        if form in ("text", "json"):
            return Journal(top.text("log"), form, debug=top.switch("debug"))
        Journal("", "text").error(f"invalid log-format: {form}")
    except OSError as error:
        Journal("", "text").error(_text_of(error))
    return None


def _text_of(error: Exception) -> str:
    """As Go's `path: reason`, where the system's words are all that there is."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    words = reason(error.errno) if error.strerror == os.strerror(error.errno) else error.strerror
    return f"{os.fsdecode(error.filename)}: {words}" if error.filename is not None else str(words)


def _carry_out(top: Options, name: str, own: Options) -> int:
    journal = _open_journal(top)
    if journal is None:
        return 1
    try:
        if top.switch("systemd-cgroup"):
            _require_systemd()
        mode = top.text("rootless", "auto")
        if mode not in ("true", "false", "auto"):
            raise ToolError(f'--rootless: expected true, false or auto, not "{mode}"')
        root = top.text("root") or rootless.default_root(mode)
        tool = Tool(Store(root), journal, own, systemd=top.switch("systemd-cgroup"))
        action: Callable[[], int] = getattr(tool, name)
        return action()
    except BrokenPipeError:
        return 1
    except UsageError as error:
        journal.error(str(error))
        return 1
    except (ToolError, RuntimeFailure, OSError, ValueError) as error:
        prefix = f"sampan-runtime {name} failed: " if name in ("create", "run", "start") else ""
        text = _text_of(error)
        journal.error(prefix + (f"exec failed: {text}" if name == "exec" else text))
        return EXEC_FAILED if name == "exec" else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _require_systemd() -> None:
    from sampan.linux import systemd
    from sampan.linux.cgroup import detect

    if not systemd.booted():
        raise ToolError(
            "systemd cgroup flag passed, but systemd support for managing cgroups is not available"
        )
    if detect().mode != "v2":
        raise ToolError("--systemd-cgroup: only with cgroup v2")
    if os.geteuid():
        raise ToolError("--systemd-cgroup: only for root")


def entry() -> None:
    """Nothing of the interpreter's clean-up is wanted when all is done, nor before it of its search for garbage."""
    gc.disable()
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = status or 1
    if loader.stale():
        from sampan.runtime.pack import refresh

        refresh()
    os._exit(status)
