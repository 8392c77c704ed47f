"""Signals are passed on by their API names, and what was set before is set again."""

from __future__ import annotations

import os
import signal

import pytest

from sampan.cli.signals import Forwarding, name_of, on_resize


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (signal.SIGINT, "INT"),
        (signal.SIGTERM, "TERM"),
        (signal.SIGWINCH, "WINCH"),
        (signal.SIGRTMIN, "RTMIN"),
        (signal.SIGRTMIN + 3, "RTMIN+3"),
        (signal.SIGRTMAX, f"RTMIN+{signal.SIGRTMAX - signal.SIGRTMIN}"),
        (200, "200"),
    ],
)
def test_names(number: int, name: str) -> None:
    assert name_of(number) == name


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGTERM,
        signal.SIGTSTP,
        signal.SIGRTMIN + 5,
    ],
)
def test_a_signal_goes_to_the_container(number: int) -> None:
    sent: list[str] = []
    before = signal.getsignal(number)
    with Forwarding(sent.append):
        os.kill(os.getpid(), number)
    assert sent == [name_of(number)]
    assert signal.getsignal(number) == before


def test_all_but_a_few_are_caught() -> None:
    kept = {n: signal.getsignal(n) for n in signal.valid_signals()}
    with Forwarding(lambda name: None):
        caught = {n for n in signal.valid_signals() if signal.getsignal(n) != kept[n]}
    left = {"CHLD", "PIPE", "URG", "KILL", "STOP", "SEGV", "BUS", "FPE", "ILL"}
    assert {signal.Signals(n).name[3:] for n in set(signal.valid_signals()) - caught} == left
    assert {n: signal.getsignal(n) for n in signal.valid_signals()} == kept


def test_a_new_size_is_followed_beside_what_was_there() -> None:
    seen: list[str] = []
    before = signal.signal(signal.SIGWINCH, lambda number, frame: seen.append("before"))
    try:
        on_resize(lambda: seen.append("size"))
        os.kill(os.getpid(), signal.SIGWINCH)
    finally:
        signal.signal(signal.SIGWINCH, before)
    assert seen == ["size", "before"]
