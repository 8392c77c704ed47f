"""What stands for `ctypes` does what `ctypes` does."""

from __future__ import annotations

import ctypes

import pytest

from sampan.linux import cdll


@pytest.mark.parametrize(
    ("content", "size"), [(b"text", ()), (b"text", (4,)), (b"text", (8,)), (b"", (3,)), (b"", ())]
)
def test_buffers(content: bytes, size: tuple[int, ...]) -> None:
    """Zeros follow, one at least when no size is said."""
    ours, theirs = (
        cdll.create_string_buffer(content, *size),
        ctypes.create_string_buffer(content, *size),
    )
    assert (len(ours), ours.raw) == (len(theirs), theirs.raw)
    assert cdll.addressof(ours) != 0


def test_what_the_runtime_uses_is_there() -> None:
    assert ctypes.CDLL is not cdll.CDLL  # not the slow one, on this interpreter
    for name in ("c_char_p", "c_int", "c_long", "c_uint32", "c_uint64", "c_ulong", "c_void_p"):
        assert ctypes.sizeof(getattr(ctypes, name)) == ctypes.sizeof(getattr(cdll, name))
