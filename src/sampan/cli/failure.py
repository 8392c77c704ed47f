"""Failures a command ends with. `str(failure)` goes to standard error as it is; empty text prints nothing."""

from __future__ import annotations


class Failure(Exception):
    """Ends the command with a text and an exit code."""

    def __init__(self, text: str = "", exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class UsageError(Failure):
    """The command line cannot be understood; docker ends with 125."""

    def __init__(self, text: str, exit_code: int = 125) -> None:
        super().__init__(text, exit_code)


class ConnectionFailed(Failure):
    """Nobody answers at the socket."""


class DaemonError(Failure):
    """The daemon answered with an error status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"Error response from daemon: {message}")
        self.message = message
        self.status = status


class Interrupted(BaseException):
    """A signal asked the command to end. Not an Exception: nothing below `main` may swallow it."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal
