"""Network namespaces by descriptor: make one, visit one. Nothing is ever bind-mounted in the host.

A namespace is a property of a thread here. New ones are made on a thread that ends at once and so
cannot carry the namespace anywhere; visits are made on a `NetworkThread`, which comes back after
each and dies when it cannot. Out of scope: what is put into a namespace (`network/`).
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from sampan.linux.constants import CLONE_NEWNET
from sampan.spec.typing import Callable, Iterator

OWN_NAMESPACE = "/proc/thread-self/ns/net"

T = TypeVar("T")


class Kernel(Protocol):
    """What is used here of `linux.kernel.Kernel`."""

    def unshare(self, flags: int) -> None: ...
    def setns(self, fd: int, flags: int) -> None: ...


class NamespaceLost(OSError):
    """The thread could not come back from a namespace; nothing else may run on it."""


def open_own() -> int:
    """The calling thread's namespace."""
    return os.open(OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)


def run_on_new_thread(function: Callable[[], T]) -> T:
    """Call and wait; what the function does to its thread ends with it."""
    outcome: Future[T] = Future()

    def body() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    thread.join()
    return outcome.result()


def create(kernel: Kernel, prepare: Callable[[], None] | None = None) -> int:
    """A descriptor of a new namespace, which lives while held; `prepare` was called inside."""

    def make() -> int:
        kernel.unshare(CLONE_NEWNET)
        if prepare is not None:
            prepare()
        return open_own()

    return run_on_new_thread(make)


@contextmanager
def visit(kernel: Kernel, fd: int) -> Iterator[None]:
    """The calling thread is in namespace `fd` for the block.

    Raises NamespaceLost when it cannot return: call it on a `NetworkThread`, which then ends.
    """
    home = open_own()
    try:
        kernel.setns(fd, CLONE_NEWNET)
        try:
            yield
        finally:
            try:
                kernel.setns(home, CLONE_NEWNET)
            except OSError as error:
                raise NamespaceLost(error.errno, f"cannot return: {error.strerror}") from error
    finally:
        os.close(home)


class NetworkThread:
    """One worker for everything that is done to the network, in order, in the namespace of its maker.

    A job that ends in NamespaceLost takes the thread and every waiting job along; the next
    `submit` starts a new thread, which has the namespace of whoever submits.
    """

    def __init__(self, name: str = "network") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, function: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the network thread is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._jobs.put((future, function))
        return future

    def close(self) -> None:
        """Finish what was submitted, then end."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._jobs.put(None)
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = function()
            except NamespaceLost as error:
                self._abandon(error)
                future.set_exception(error)
                return
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del future, function, job  # a waiting thread keeps nothing alive

    def _abandon(self, error: NamespaceLost) -> None:
        with self._lock:
            self._thread = None
            while not self._jobs.empty():
                job = self._jobs.get()
                if job is not None and job[0].set_running_or_notify_cancel():
                    job[0].set_exception(error)
