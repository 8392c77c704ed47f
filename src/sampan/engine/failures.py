"""What went wrong while a container or an exec was started, in Docker's words.

The docker client tells 125, 126 and 127 apart by these texts ("executable file not found", "no such file or
directory", "permission denied", "is a directory").
"""

from __future__ import annotations

from sampan.errors import InvalidParameter, SampanError
from sampan.runtime.failure import RuntimeFailure

ENGINE = 128  # the exit code when the command is not at fault
_CREATE = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: "
)
_EXEC = "OCI runtime exec failed: exec failed: "


def of_start(error: Exception) -> tuple[SampanError, int]:
    """The error for the client, and the exit code that the container gets."""
    if isinstance(error, RuntimeFailure):
        return _error(_CREATE, error), error.exit_code or ENGINE
    if isinstance(error, SampanError):
        return error, ENGINE
    return SampanError(f"failed to create task for container: {error}"), ENGINE


def of_exec(error: Exception) -> SampanError:
    if isinstance(error, RuntimeFailure):
        return _error(_EXEC, error)
    return error if isinstance(error, SampanError) else SampanError(f"{_EXEC}{error}: unknown")


def _error(prefix: str, error: RuntimeFailure) -> SampanError:
    text = f"{prefix}{error}: unknown"
    return InvalidParameter(text) if error.exit_code else SampanError(text)
