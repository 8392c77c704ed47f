"""Waiting for a container to end: asked before it starts, so that no exit is missed."""

from __future__ import annotations

from sampan.cli import jsontext
from sampan.cli.failure import Failure
from sampan.cli.names import container_path
from sampan.cli.output import log_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.client import Client
    from sampan.cli.http import Response


class Wait:
    """The daemon's answer to a wait that is under way. A failure to begin is told when the answer is asked for."""

    def __init__(self, client: Client, container: str, condition: str) -> None:
        """`condition`: "next-exit", "removed", or "" for not running."""
        query = {"condition": condition or None}
        self._response: Response | None = None
        self._failure: Failure | None = None
        try:
            self._response = client.stream("POST", container_path(container, "/wait"), query)
        except Failure as failure:
            self._failure = failure

    def answer(self) -> dict[str, Any]:
        """`{"StatusCode": 0, "Error": …}`"""
        if self._response is None:
            raise self._failure or Failure("not waiting")
        result = jsontext.loads(self._response.read())
        if not isinstance(result, dict):
            raise Failure("invalid answer to a wait")
        return result

    def exit_code(self) -> int:
        """The container's, or 125 (said on standard error) when it cannot be told."""
        try:
            result = self.answer()
        except (Failure, ValueError) as error:
            log_error(f"error waiting for container: {error}")
            return 125
        if result.get("Error"):
            log_error(f"Error waiting for container: {result['Error'].get('Message', '')}")
            return 125
        return int(result["StatusCode"])


def wait_for_exit(client: Client, container: str, *, removed: bool) -> Wait:
    """Begin to wait for the next exit, or for the removal."""
    return Wait(client, container, "removed" if removed else "next-exit")
