"""Docker's content trust (Notary), which sampan does not have: asking for it is refused, never ignored."""

from __future__ import annotations

import os

from sampan.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sampan.cli.flags import Values

_TRUE = ("1", "t", "T", "true", "TRUE", "True")


def check_trust(values: Values) -> None:
    """Whoever asks for signatures to be checked must not get what is unchecked. Raises Failure."""
    asked = not values["disable-content-trust"]
    if not values.changed("disable-content-trust"):
        asked = os.environ.get("DOCKER_CONTENT_TRUST", "") in _TRUE
    if asked:
        raise Failure(
            "content trust is not supported: pull by digest, or unset DOCKER_CONTENT_TRUST"
        )
