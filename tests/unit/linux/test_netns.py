"""Verifies that a thread comes back from a visit or dies, and that jobs are never left waiting."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future

import pytest

from sampan.linux import netns
from sampan.linux.netns import NamespaceLost, NetworkThread


class Namespaces:
    """Fails the n-th setns; counts."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.entered = 0
        self.fail_at = fail_at

    def unshare(self, flags: int) -> None: ...

    def setns(self, fd: int, flags: int) -> None:
        self.entered += 1
        if self.entered == self.fail_at:
            raise OSError(1, "injected", "setns")


def visit(kernel: Namespaces) -> str:
    with netns.visit(kernel, 99):
        return threading.current_thread().name


@pytest.fixture
def worker() -> NetworkThread:
    thread = NetworkThread("visitor")
    yield thread
    thread.close()


def test_jobs_run_in_order_on_one_thread(worker: NetworkThread) -> None:
    """Results and errors reach whoever submitted."""
    seen: list[int] = []
    futures = [worker.submit(lambda n=n: seen.append(n)) for n in range(50)]
    assert [future.result(10) for future in futures] == [None] * 50
    assert seen == list(range(50))
    assert worker.submit(lambda: visit(Namespaces())).result(10) == "visitor"
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 // 0).result(10)


def test_a_namespace_that_cannot_be_entered_costs_nothing(worker: NetworkThread) -> None:
    """The error is the kernel's and the thread goes on."""
    with pytest.raises(OSError, match="injected"):
        worker.submit(lambda: visit(Namespaces(fail_at=1))).result(10)
    assert worker.submit(threading.get_ident).result(10) is not None


def test_a_thread_that_cannot_return_dies(worker: NetworkThread) -> None:
    """It takes the waiting jobs along; the next submit has a new thread."""
    first = worker.submit(threading.current_thread).result(10)
    gate = threading.Event()
    blocker = worker.submit(gate.wait)
    lost = worker.submit(lambda: visit(Namespaces(fail_at=2)))
    waiting = worker.submit(lambda: "never")
    gate.set()
    blocker.result(10)
    for future in (lost, waiting):
        with pytest.raises(NamespaceLost):
            future.result(10)
    first.join(10)
    assert not first.is_alive()
    second = worker.submit(threading.current_thread).result(10)
    assert second is not first


def test_an_error_inside_is_kept_when_the_way_back_fails() -> None:
    """NamespaceLost is raised; the error of the block is its context."""
    lost: Future[None] = Future()

    def body() -> None:
        try:
            with netns.visit(Namespaces(fail_at=2), 99):
                raise ValueError("inside")
        except NamespaceLost as error:
            lost.set_exception(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    error = lost.exception()
    assert isinstance(error, NamespaceLost)
    chain = []
    link: BaseException | None = error
    while link is not None:
        chain.append(type(link))
        link = link.__context__
    assert ValueError in chain


def test_closing_finishes_what_was_submitted() -> None:
    """Then nothing more is taken."""
    worker = NetworkThread()
    future = worker.submit(lambda: 7)
    worker.close()
    assert future.result(0) == 7
    with pytest.raises(RuntimeError):
        worker.submit(lambda: 8)


def test_create_keeps_no_descriptor_when_it_fails() -> None:
    """The error of the preparation comes through."""
    before = len(os.listdir("/proc/self/fd"))

    def prepare() -> None:
        raise OSError(5, "injected")

    with pytest.raises(OSError, match="injected"):
        netns.create(Namespaces(), prepare)
    assert len(os.listdir("/proc/self/fd")) == before
