"""Waiting for a container to end: asked before it starts, so that no exit is missed.

A daemon that is restarted takes the answer with it, but not the container: it is asked again when it is back.
"""

from __future__ import annotations

import time

from sampan.cli import jsontext
from sampan.cli.failure import DaemonError, Failure
from sampan.cli.names import container_path
from sampan.cli.output import log_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.client import Client
    from sampan.cli.http import Response


BACK_WITHIN = 30.0  # seconds that a daemon may take to come back
_POLL = 0.1


class Wait:
    """The daemon's answer to a wait that is under way. A failure to begin is told when the answer is asked for."""

    def __init__(self, client: Client, container: str, condition: str) -> None:
        """`condition`: "next-exit", "removed", or "" for not running."""
        self._client = client
        self._container = container
        self._removed = condition == "removed"
        self._response: Response | None = None
        self._failure: Failure | None = None
        try:
            self._response = self._ask(condition)
        except Failure as failure:
            self._failure = failure

    def _ask(self, condition: str) -> Response:
        query = {"condition": condition or None}
        return self._client.stream("POST", container_path(self._container, "/wait"), query)

    def answer(self) -> dict[str, Any]:
        """`{"StatusCode": 0, "Error": …}`"""
        if self._response is None:
            raise self._failure or Failure("not waiting")
        result = jsontext.loads(self._response.read())
        if not isinstance(result, dict):
            raise Failure("invalid answer to a wait")
        return result

    def _answer_of_the_next_daemon(self) -> dict[str, Any]:
        """After the connection was lost. Raises the last Failure when nobody comes back in time."""
        deadline = time.monotonic() + BACK_WITHIN
        while True:
            try:
                # It may have ended meanwhile: there need not be a next exit.
                self._response = self._ask("removed" if self._removed else "")
                return self.answer()
            except DaemonError:
                raise
            except (Failure, ValueError, OSError) as error:
                if time.monotonic() > deadline:
                    raise Failure(str(error)) from None
            time.sleep(_POLL)

    def exit_code(self) -> int:
        """The container's, or 125 (said on standard error) when it cannot be told."""
        try:
            try:
                result = self.answer()
            except (ValueError, OSError):
                result = self._answer_of_the_next_daemon()
            except DaemonError:
                raise
            except Failure:
                if self._response is None:
                    raise
                result = self._answer_of_the_next_daemon()
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
