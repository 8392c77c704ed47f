"""When to try again, and when not."""

from __future__ import annotations

import pytest

from sampan.distribution.failures import (
    AuthFailed,
    Cut,
    RegistryError,
    Throttled,
    Unreachable,
    from_response,
)
from sampan.distribution.options import Options, Timeouts
from sampan.distribution.retry import Retry
from sampan.errors import SampanError

OPTIONS = Options(timeouts=Timeouts(retry_base=1, retry_cap=3, retry_after=60))


def throttled(after: str) -> SampanError:
    return from_response(429, "", [], b"", retry_after=after)


def test_waiting_grows_and_ends() -> None:
    """Exponential with a cap and jitter; the fifth failure is the last."""
    retry = Retry(OPTIONS, lambda: 0.5)
    error = Cut("cut")
    assert [retry.after(error) for _ in range(4)] == [1.25, 2.5, 3.75, 3.75]
    with pytest.raises(Cut):
        retry.after(error)


def test_jitter_stays_within_half() -> None:
    """Many clients do not come back in the same moment."""
    assert {Retry(OPTIONS, lambda: x).after(Cut("")) for x in (0.0, 0.999)} == {1.0, 1.4995}  # noqa: B023
    assert Retry(OPTIONS).after(Cut("")) != Retry(OPTIONS).after(Cut(""))


def test_progress_begins_the_count_anew() -> None:
    """A blob may be cut a hundred times, when each time a piece of it arrives."""
    retry = Retry(OPTIONS, lambda: 0)
    for _ in range(100):
        assert retry.after(Cut("")) == 1
        retry.reset()


@pytest.mark.parametrize(
    ("after", "delay"),
    [("2", 2), ("0", 1), ("60", 60), ("soon", 1), ("", 1), ("Wed, 21 Oct 2026 07:28:00 GMT", 1)],
)
def test_a_registry_may_ask_for_time(after: str, delay: float) -> None:
    """Retry-After in seconds; what is no number counts as not said."""
    assert Retry(OPTIONS, lambda: 0).after(throttled(after)) == delay


@pytest.mark.parametrize("after", ["61", "1000000000", "9" * 5000])
def test_but_not_for_ever(after: str) -> None:
    """The error is raised at once."""
    with pytest.raises(Throttled):
        Retry(OPTIONS).after(throttled(after))


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (RegistryError("", http_status=500), True),
        (RegistryError("", http_status=503), True),
        (RegistryError("", http_status=408), True),
        (RegistryError("", http_status=404), False),
        (RegistryError("", http_status=401), False),
        (RegistryError("", http_status=403), False),
        (RegistryError(""), False),
        (Unreachable("", connecting=True), True),
        (AuthFailed(""), False),
        (SampanError(""), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: SampanError, again: bool) -> None:
    """A missing manifest stays missing."""
    if again:
        assert Retry(OPTIONS).after(error) > 0
    else:
        with pytest.raises(type(error)):
            Retry(OPTIONS).after(error)
