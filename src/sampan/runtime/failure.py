"""`RuntimeFailure`: which step of creating or starting a container failed, on what, and why.

`str()` is what runc says after "runc create failed: ", since clients match those texts.
"""

from __future__ import annotations

import os

from sampan.spec.typing import Any

PREFIX = "unable to start container process: "
NOT_FOUND = 127
NOT_EXECUTABLE = 126


def reason(number: int) -> str:
    """The text of an errno as Go prints it: strerror with a small first letter."""
    text = os.strerror(number)
    return text[:1].lower() + text[1:]


class RuntimeFailure(Exception):
    """`exit_code` is 126 or 127 when the command to run is at fault, else None."""

    def __init__(
        self,
        message: str,
        *,
        step: str,
        path: str = "",
        errno: int = 0,
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.step = step
        self.path = path
        self.errno = errno
        self.exit_code = exit_code

    def __str__(self) -> str:
        return PREFIX + self.message

    @classmethod
    def during(cls, step: str, error: BaseException, *, init: bool = True) -> RuntimeFailure:
        """`error` as the failure of `step`; one that is a RuntimeFailure already stays as it is."""
        if isinstance(error, RuntimeFailure):
            return error
        number, path = 0, ""
        if isinstance(error, OSError):
            number = error.errno or 0
            path = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
            detail = reason(number) if number else str(error)
            own_words = error.strerror if error.strerror != os.strerror(number) else None
            if own_words:
                detail = f"{detail}: {own_words}"
        elif isinstance(error, ValueError):
            detail = str(error)  # of ours, with words
        else:
            detail = f"{type(error).__name__}: {error}"
        where = f" ({path})" if path and path not in step else ""
        text = f"{step}{where}: {detail}"
        return cls(
            f"error during container init: {text}" if init else text,
            step=step,
            path=path,
            errno=number,
        )

    def to_message(self) -> dict[str, Any]:
        return {
            "message": self.message,
            "step": self.step,
            "path": self.path,
            "errno": self.errno,
            "exit_code": self.exit_code,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> RuntimeFailure:
        return cls(
            message["message"],
            step=message["step"],
            path=message["path"],
            errno=message["errno"],
            exit_code=message["exit_code"],
        )
