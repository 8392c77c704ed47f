"""What the rooms that run as a command of their own use of `typing` and `collections.abc`, without 7 ms of imports.

For the type checker these are theirs; at run time annotations are never evaluated, and a NamedTuple is a tuple
with names. See `record.py`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Final, NamedTuple, NoReturn, Protocol

    __all__ = ["Any", "Callable", "Final", "Iterable", "Iterator", "Mapping"]
    __all__ += ["NamedTuple", "NoReturn", "Protocol", "Sequence"]
else:
    # What `collections.abc` is made of, and `os` has loaded.
    from _collections import _tuplegetter
    from _collections_abc import Callable, Iterable, Iterator, Mapping, Sequence

    Any = Final = NoReturn = object

    class Protocol:
        __slots__ = ()

    class _NamedTupleType(type):
        def __new__(meta, name, bases, body):
            names = tuple(body.get("__annotations__", ()))
            defaults = {key: body.pop(key) for key in names if key in body}
            body |= {key: _tuplegetter(at, key) for at, key in enumerate(names)}
            body |= {"_fields": names, "_field_defaults": defaults, "__slots__": ()}
            body |= {"__match_args__": names}
            bases = tuple(tuple if base is NamedTuple else base for base in bases)
            for key, method in _METHODS.items():
                body.setdefault(key, method)
            return type(name, bases, body)

    def _new(cls, /, *args, **values):
        names, defaults = cls._fields, cls._field_defaults
        items = list(args)
        for name in names[len(args) :]:
            if name in values:
                items.append(values.pop(name))
            elif name in defaults:
                items.append(defaults[name])
            else:
                raise TypeError(f"{cls.__name__}() missing argument {name!r}")
        if values or len(items) > len(names):
            raise TypeError(f"{cls.__name__}() got unexpected arguments")
        return tuple.__new__(cls, items)

    def _replace(self, /, **values):
        return type(self)(**{**self._asdict(), **values})

    def _asdict(self):
        return dict(zip(self._fields, self))

    def _show(self):
        shown = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self))
        return f"{type(self).__name__}({shown})"

    def _arguments(self):
        return tuple(self)

    def _make(cls, items):
        return cls(*items)

    _METHODS = {
        "__new__": _new,
        "_replace": _replace,
        "_asdict": _asdict,
        "__repr__": _show,
        "__getnewargs__": _arguments,
        "_make": classmethod(_make),
    }

    NamedTuple = type.__new__(_NamedTupleType, "NamedTuple", (), {})
