"""`dataclass`, `field` and `replace` for the rooms that run as a command of their own, at a tenth of the import's cost.

The standard library's module takes 8 ms to load and another 0.4 ms a class, half of what `sampan-runtime` may take
in all. Here a class costs some 10 µs, an instance 2. What differs: only what the rooms use is there (frozen, defaults,
factories), slots are ignored, and every class is frozen or not by its word.
For the type checker these are the standard library's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace

    __all__ = ["FrozenInstanceError", "asdict", "dataclass", "field", "fields", "replace"]
else:
    _MISSING = object()

    class FrozenInstanceError(AttributeError):
        pass

    class _Factory:
        __slots__ = ("make",)

        def __init__(self, make):
            self.make = make

    def field(*, default=_MISSING, default_factory=None):
        return default if default_factory is None else _Factory(default_factory)

    class _Field:
        __slots__ = ("name",)

        def __init__(self, name):
            self.name = name

    def fields(cls):
        return tuple(_Field(name) for name in cls.__match_args__)

    def replace(record, /, **changes):
        values = {name: getattr(record, name) for name in record.__match_args__}
        return type(record)(**{**values, **changes})

    def asdict(record):
        return {name: _plain(getattr(record, name)) for name in record.__match_args__}

    def _plain(value):
        if hasattr(type(value), "__record_frozen__"):
            return asdict(value)
        if isinstance(value, dict):
            return {key: _plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [_plain(item) for item in value]
        return value

    def dataclass(cls=None, /, *, frozen=False, slots=False):
        if cls is None:
            return lambda found: _make(found, frozen)
        return _make(cls, frozen)

    def _make(cls, frozen):
        """In place: a class made anew, as slots would need it, is what costs most."""
        inherited = getattr(cls, "__match_args__", ()), getattr(cls, "__record_defaults__", {})
        body = cls.__dict__
        own = [name for name in body.get("__annotations__", ()) if not name.startswith("__")]
        defaults = {name: body[name] for name in own if name in body}
        for name, value in defaults.items():
            if isinstance(value, _Factory):
                delattr(cls, name)
        cls.__match_args__ = (*inherited[0], *(name for name in own if name not in inherited[0]))
        cls.__record_defaults__ = {**inherited[1], **defaults}
        cls.__record_frozen__ = frozen
        for name, method in _METHODS.items():
            if name not in body:
                setattr(cls, name, method)
        if frozen:
            cls.__setattr__, cls.__delattr__ = _refuse, _refuse
        else:
            cls.__hash__ = None
        return cls

    _set = object.__setattr__

    def _fill(self, /, *args, **values):
        """Every class's `__init__`: one of each class's own would have to be compiled."""
        names = self.__match_args__
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__}() takes {len(names)} arguments")
        for name, value in zip(names, args):
            _set(self, name, value)
        defaults = self.__record_defaults__
        for name in names[len(args) :]:
            if name in values:
                value = values.pop(name)
            elif name in defaults:
                value = defaults[name]
                if type(value) is _Factory:
                    value = value.make()
            else:
                raise TypeError(f"{type(self).__name__}() missing argument {name!r}")
            _set(self, name, value)
        if values:
            raise TypeError(f"{type(self).__name__}() got unexpected arguments {sorted(values)}")
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    def _values(record):
        return tuple(getattr(record, name) for name in record.__match_args__)

    def _equal(self, other):
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _values(self) == _values(other)

    def _show(self):
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{self.__class__.__qualname__}({shown})"

    def _refuse(self, name, *_value):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def _hash(self):
        return hash(_values(self))

    def _state(self):
        return _values(self)

    def _restore(self, state):
        for name, value in zip(self.__match_args__, state):
            _set(self, name, value)

    _METHODS = {
        "__init__": _fill,
        "__eq__": _equal,
        "__repr__": _show,
        "__hash__": _hash,
        "__getstate__": _state,
        "__setstate__": _restore,
    }
