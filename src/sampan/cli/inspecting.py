"""`inspect` in its three forms: raw JSON indented, JSON in a line, or a template over typed or raw data."""

from __future__ import annotations

from sampan.cli.failure import Failure
from sampan.cli.output import out
from sampan.spec import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from sampan.spec.template.executor import Template

    Get = Callable[[str], tuple[str, str]]

_TEMPLATE_ERROR = 64


def inspect_all(names: Iterable[str], source: str, get: Get, *, typed: bool = False) -> int:
    """`get(name)` gives a kind ("container", "image", …) and its JSON text, or raises Failure.

    What was found is printed even when something else was not. `typed`: a template sees Go's names only.
    """
    printer = _Lines(source, typed=typed) if source not in ("", "json") else _Array(source == "")
    errors = []
    for name in names:
        try:
            printer.add(*get(name))
        except Failure as failure:
            errors.append(str(failure))
    printer.finish()
    if errors:
        raise Failure("\n".join(errors))
    return 0


class _Array:
    """One JSON array of all of them, each as the daemon sent it."""

    def __init__(self, indented: bool) -> None:
        self._indented = indented
        self._texts: list[str] = []

    def add(self, kind: str, text: str) -> None:
        self._texts.append(text.strip())

    def finish(self) -> None:
        joined = f"[{','.join(self._texts)}]"
        out((jsontext.indent(joined) if self._indented else jsontext.compact(joined)) + "\n")


class _Lines:
    """What a template makes of each."""

    def __init__(self, source: str, *, typed: bool) -> None:
        from sampan.spec.template.executor import Template, TemplateError

        try:
            self._typed: Template = Template(source)
            self._raw = None if typed else Template(source, strict=True)
        except TemplateError as error:
            raise Failure(f"template parsing error: {error}", _TEMPLATE_ERROR) from None
        self._lines: list[str] = []

    def add(self, kind: str, text: str) -> None:
        from sampan.spec.template.executor import ExecutionError

        value = jsontext.loads(text)
        try:
            line = self._typed.execute(_typed(kind, value))
        except ExecutionError as error:
            if self._raw is None:
                raise Failure(f"template parsing error: {error}") from None
            # Fields that are not Go's names for them, but the JSON's.
            try:
                line = self._raw.execute(value)
            except ExecutionError as error:
                raise Failure(f"template parsing error: {error}") from None
        self._lines.append(line)

    def finish(self) -> None:
        out("".join(f"{line}\n" for line in self._lines) or "\n")


def _typed(kind: str, value: Any) -> Any:
    """The object with Go's names and zero values; kinds that we do not know stay as they are."""
    if kind == "container":
        from sampan.cli.types import container

        return container.SCHEMA.decode(container.ROOT, value)
    if kind == "image":
        from sampan.cli.types import image

        return image.SCHEMA.decode(image.ROOT, value)
    if kind == "volume":
        from sampan.cli.types import volume

        return volume.SCHEMA.decode(volume.ROOT, value)
    return value
