"""Threads whose work may be left behind: who is interrupted does not wait for a registry that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar

__all__ = ["Jobs"]

_T = TypeVar("_T")
_Task = tuple[Future[Any], Callable[[], Any]]


class Jobs:
    """Does what is submitted, in its order, so many at a time. A context.

    At its end what was not begun is dropped, and what was begun is not waited for: its result goes nowhere. The threads
    are daemons, which keep the interpreter from nothing.
    """

    def __init__(self, count: int, name: str) -> None:
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(count)]
        self._started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None:
                    task[0].cancel()
        for _thread in range(self._started):
            self._tasks.put(None)

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        """Have it done; the future gives its result, or raises what it raised."""
        future: Future[_T] = Future()
        self._tasks.put((future, work))
        if self._started < len(self._threads):
            self._threads[self._started].start()
            self._started += 1
        return future

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, work = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 -- it is raised where the result is asked for
                future.set_exception(error)
