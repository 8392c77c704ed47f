"""Messages are dockerd's to the character, and not too many."""

from __future__ import annotations

import pytest

from sampan.distribution import progress
from sampan.distribution.progress import Message, Meter, amount, bar, status


@pytest.mark.parametrize(
    ("current", "total", "expected"),
    [
        # Recorded from dockerd 20.10.
        (36445, 3146918, "[>                                                  ]  36.45kB/3.147MB"),
        (267, 267, "[==================================================>]     267B/267B"),
        (
            1769472,
            3146918,
            "[============================>                      ]  1.769MB/3.147MB",
        ),
        (2129920, 1984350, "[==================================================>]   2.13MB"),
        (36445, 1049106, "[=>                                                 ]  36.45kB/1.049MB"),
        (512, 100, "[==================================================>]     512B"),
        (0, 0, ""),
        (1500, 0, "   1.5kB"),
    ],
)
def test_bars_are_dockers(current: int, total: int, expected: str) -> None:
    """Width, rounding, units."""
    assert bar(current, total) == expected


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (1234567, "1.235MB"),
        (10**12, "1TB"),
        (10**19, "1e+04PB"),
    ],
)
def test_sizes_are_dockers(size: int, text: str) -> None:
    """As go-units writes them."""
    assert progress.human_size(size) == text


def test_messages_have_dockerds_keys() -> None:
    """Order matters to nobody, keys do."""
    assert status("Status: x") == {"status": "Status: x"}
    assert status("Waiting", "abc") == {"status": "Waiting", "progressDetail": {}, "id": "abc"}
    message = amount("Downloading", "abc", 1, 2)
    assert message["progressDetail"] == {"current": 1, "total": 2}
    assert message["id"] == "abc"
    assert message["progress"].startswith("[====")


def test_a_meter_reports_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times a second at most, the first and the last always, the last once."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    messages: list[Message] = []
    meter = Meter(messages.append, "Pushing", "abc", 1000)
    for current in range(1, 1001):
        now[0] += 0.001
        meter.show(current)
    meter.show(1000)
    shown = [message["progressDetail"]["current"] for message in messages]
    assert shown[0] == 1
    assert shown[-2:] == [shown[-2], 1000]
    assert len(shown) <= 12
    assert shown == sorted(set(shown))
