"""Signals of the user, passed on to the container; and changes of the terminal's size.

Each is sent at once, on a connection of its own, from within the handler: the main flow may be waiting for the
daemon or for a slow reader of our output, and nothing it uses is touched.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from types import FrameType
else:
    import _signal

# The first four would come back at once if they were faults of ours; 32 and 33 belong to glibc.
_NEVER = frozenset(
    (
        _signal.SIGSEGV,
        _signal.SIGBUS,
        _signal.SIGFPE,
        _signal.SIGILL,
        _signal.SIGKILL,
        _signal.SIGSTOP,
        _signal.SIGCHLD,
        _signal.SIGPIPE,
        _signal.SIGURG,
        32,
        33,
    )
)
_WORDS = """\
HUP INT QUIT TRAP ABRT USR1 USR2 ALRM TERM STKFLT CONT TSTP TTIN TTOU XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
"""
_NAMES = {
    getattr(_signal, f"SIG{name}"): name
    for name in _WORDS.split()
    if hasattr(_signal, f"SIG{name}")
}
_LAST = 64


def name_of(number: int) -> str:
    """As the API takes it: `TERM`, `RTMIN+3`, or the number."""
    if number in _NAMES:
        return _NAMES[number]
    if _signal.SIGRTMIN <= number <= _signal.SIGRTMAX:
        above = number - _signal.SIGRTMIN
        return f"RTMIN+{above}" if above else "RTMIN"
    return str(number)


class Forwarding:
    """While the block runs, every signal that can be is given to `send` by its API name."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._before: dict[int, object] = {}

    def __enter__(self) -> Forwarding:
        for number in range(1, _LAST + 1):
            if number not in _NEVER:
                self._before[number] = _signal.signal(number, self._handle)
        return self

    def __exit__(self, *details: object) -> None:
        for number, handler in self._before.items():
            # None: the handler was not Python's, and cannot be put back.
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._send(name_of(number))


def on_resize(action: Callable[[], None]) -> None:
    """Call `action` at every SIGWINCH, beside what already happens then."""
    before = _signal.getsignal(_signal.SIGWINCH)

    def handle(number: int, frame: FrameType | None) -> None:
        action()
        if callable(before):
            before(number, frame)

    _signal.signal(_signal.SIGWINCH, handle)
