"""One action for each name: a line for every success, the failures together at the end."""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Skipped(Exception):
    """The action has said what there was to say about a name."""


def for_each(names: list[str], action: Callable[[str], object]) -> int:
    """Print each name whose action succeeds. Raises Failure with the errors of the others."""
    errors = []
    for name in names:
        try:
            action(name)
        except Skipped:
            continue
        except Failure as failure:
            errors.append(str(failure))
        else:
            output.out(f"{name}\n")
    if errors:
        raise Failure("\n".join(errors))
    return 0
