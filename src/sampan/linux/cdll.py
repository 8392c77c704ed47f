"""What the runtime uses of `ctypes`, of the same C code, without the 2 ms that its package takes to load.

For the type checker these are ctypes's own. Where an interpreter has that C code differently, ctypes itself is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import (
        CDLL,
        Array,
        PyDLL,
        addressof,
        c_char_p,
        c_int,
        c_long,
        c_uint32,
        c_uint64,
        c_ulong,
        c_void_p,
        create_string_buffer,
        get_errno,
    )

    __all__ = ["CDLL", "Array", "PyDLL", "addressof", "c_char_p", "c_int", "c_long", "c_uint32"]
    __all__ += ["c_uint64", "c_ulong", "c_void_p", "create_string_buffer", "get_errno"]
else:
    try:
        from _ctypes import (
            FUNCFLAG_CDECL,
            FUNCFLAG_PYTHONAPI,
            FUNCFLAG_USE_ERRNO,
            Array,
            CFuncPtr,
            _SimpleCData,
            addressof,
            dlopen,
            get_errno,
            sizeof,
        )

        class c_char(_SimpleCData):
            _type_ = "c"

        class c_char_p(_SimpleCData):
            _type_ = "z"

        class c_int(_SimpleCData):
            _type_ = "i"

        class c_long(_SimpleCData):
            _type_ = "l"

        class c_ulong(_SimpleCData):
            _type_ = "L"

        class c_uint32(_SimpleCData):
            _type_ = "I"

        class c_uint64(_SimpleCData):
            _type_ = "Q"

        class c_void_p(_SimpleCData):
            _type_ = "P"

        class _Function(CFuncPtr):
            _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
            _restype_ = c_int

        class _LockedFunction(CFuncPtr):
            _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
            _restype_ = c_int

        class CDLL:
            _kind = _Function

            def __init__(self, name, *, use_errno):
                assert use_errno
                self._handle = dlopen(name, 0)

            def __getitem__(self, name):
                return self._kind((name, self))

        class PyDLL(CDLL):
            _kind = _LockedFunction

        def create_string_buffer(content, size=None):
            buffer = (c_char * (len(content) + 1 if size is None else size))()
            buffer.raw = content
            return buffer

        sizes = [sizeof(each) for each in (c_char, c_int, c_uint32, c_long, c_uint64, c_void_p)]
        if sizes != [1, 4, 4, 8, 8, 8]:
            raise ImportError("not as expected")
    except (ImportError, AttributeError, TypeError):
        from ctypes import *  # noqa: F403
        from ctypes import Array, addressof, get_errno
