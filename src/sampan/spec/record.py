"""`dataclass`, `field` and `replace` for the rooms that run as a command of their own, at a tenth of the import's cost.

The standard library's module takes 8 ms to load and another 0.4 ms a class, half of what `sampan-runtime` may take
in all. Here a class costs some 20 µs, and its `__init__` is compiled when it is first called. What differs:
only what the rooms use is there (frozen, slots, defaults, factories), and every class is frozen or not by its word.
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
            return lambda found: _make(found, frozen, slots)
        return _make(cls, frozen, slots)

    def _make(cls, frozen, slots):
        inherited = getattr(cls, "__match_args__", ()), getattr(cls, "__record_defaults__", {})
        body = dict(cls.__dict__)
        own = [name for name in body.get("__annotations__", ()) if not name.startswith("__")]
        defaults = {**inherited[1], **{name: body.pop(name) for name in own if name in body}}
        body.pop("__dict__", None)
        body.pop("__weakref__", None)
        names = (*inherited[0], *(name for name in own if name not in inherited[0]))
        body |= {
            "__match_args__": names,
            "__record_defaults__": defaults,
            "__record_frozen__": frozen,
            "__init__": _first_init,
        }
        if slots:
            body["__slots__"] = tuple(name for name in own if name not in inherited[0])
        else:
            plain = {n: v for n, v in defaults.items() if not isinstance(v, _Factory)}
            body |= {name: plain[name] for name in own if name in plain}
        for name, method in _METHODS.items():
            body.setdefault(name, method)
        if frozen:
            body["__setattr__"], body["__delattr__"] = _refuse, _refuse
        else:
            body["__hash__"] = None
        return type(cls)(cls.__name__, cls.__bases__, body)

    def _first_init(self, /, *args, **values):
        """Compile the class's own, then be it."""
        cls = next(c for c in type(self).__mro__ if c.__dict__.get("__init__") is _first_init)
        cls.__init__ = _compile(cls)
        self.__init__(*args, **values)

    def _compile(cls):
        defaults, parameters, lines = cls.__record_defaults__, [], []
        scope = {"_set": object.__setattr__, "_missing": _MISSING}
        for name in cls.__match_args__:
            value = name
            if name not in defaults:
                parameters.append(name)
            elif isinstance(defaults[name], _Factory):
                scope[f"_make_{name}"] = defaults[name].make
                parameters.append(f"{name}=_missing")
                value = f"_make_{name}() if {name} is _missing else {name}"
            else:
                scope[f"_default_{name}"] = defaults[name]
                parameters.append(f"{name}=_default_{name}")
            store = f"_set(self, {name!r}, {value})"
            lines.append(store if cls.__record_frozen__ else f"self.{name} = {value}")
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        body = "\n ".join(lines) or "pass"
        exec(f"def __init__(self, {', '.join(parameters)}):\n {body}", scope)
        return scope["__init__"]

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
            object.__setattr__(self, name, value)

    _METHODS = {
        "__eq__": _equal,
        "__repr__": _show,
        "__hash__": _hash,
        "__getstate__": _state,
        "__setstate__": _restore,
    }
