"""Waiting for a container to end: asked before it starts, so that no exit is missed.

A daemon that is restarted takes the answer with it, but not the container: it is asked again when it is back.
"""

from __future__ import annotations

import time

from sampan.cli.failure import ConnectionFailed, Failure
from sampan.cli.http import ProtocolFailure
from sampan.cli.names import container_path
from sampan.cli.output import log_error
from sampan.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.client import Client
    from sampan.cli.http import Response


BACK_WITHIN = 30.0  # seconds that a daemon may take to come back
_POLL = 0.1


class Lost(Failure):
    """The connection ended before there was an answer."""


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
        """`{"StatusCode": 0, "Error": …}`. Raises Lost when the daemon goes away before it has answered."""
        if self._response is None:
            raise self._failure or Failure("not waiting")
        try:
            result = jsontext.loads(self._response.read())
        except (ProtocolFailure, ValueError, OSError) as error:
            raise Lost(str(error)) from None
        if not isinstance(result, dict):
            raise Failure("invalid answer to a wait")
        return result

    def exit_code(self) -> int:
        """The container's, or 125 (said on standard error) when it cannot be told."""
        try:
            result = self._lasting_answer()
        except Failure as error:
            log_error(f"error waiting for container: {error}")
            return 125
        if result.get("Error"):
            log_error(f"Error waiting for container: {result['Error'].get('Message', '')}")
            return 125
        return int(result["StatusCode"])

    def _lasting_answer(self) -> dict[str, Any]:
        """This daemon's, or that of the one that comes after it."""
        try:
            return self.answer()
        except Lost:
            deadline = time.monotonic() + BACK_WITHIN
        while True:
            try:
                # It may have ended meanwhile: there need not be a next exit.
                self._response = self._ask("removed" if self._removed else "")
                return self.answer()
            except (Lost, ConnectionFailed, ProtocolFailure):
                if time.monotonic() > deadline:
                    raise
            time.sleep(_POLL)


def wait_for_exit(client: Client, container: str, *, removed: bool) -> Wait:
    """Begin to wait for the next exit, or for the removal."""
    return Wait(client, container, "removed" if removed else "next-exit")
