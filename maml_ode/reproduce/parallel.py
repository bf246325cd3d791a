"""Independent tasks, run in this process or in several that stay for as long as there is work."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import Any

__all__ = ["Task", "Workers"]


@dataclass(eq=False)
class Task:
    """A call, and what came of it.

    Attributes
    ----------
    function : callable
        Defined at the top of a module, so that another process finds it.
    arguments : sequence
    note : str
        What to tell a reader who waits.
    value : Any
        What the function returned, once it has.
    seconds : float
        How long that took.
    """

    function: Callable[..., Any]
    arguments: Sequence[Any] = ()
    note: str = ""
    value: Any = field(default=None, init=False)
    seconds: float = field(default=0.0, init=False)


class Workers:
    """Run tasks in the order in which they are submitted, ``jobs`` of them at a time.

    Processes are started when the first two tasks wait side by side, and stay until the end of the
    ``with`` block: they import and compile once, whatever the number of tasks. With ``jobs = 1``
    everything runs in this process.

    Parameters
    ----------
    jobs : int
        Number of processes.
    started : callable, optional
        ``started(task)``, called when a task begins.
    """

    def __init__(self, jobs: int, started: Callable[[Task], None] | None = None) -> None:
        self._jobs = jobs
        self._started = started or (lambda task: None)
        self._waiting: deque[Task] = deque()
        self._running: dict[Future[tuple[Any, float]], Task] = {}
        # A fresh interpreter per process: forking one whose threads hold locks may hang.
        self._context = get_context("spawn")
        self._given_up: Event | None = None
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._executor is not None and self._given_up is not None:
            # Tasks that are already on their way to a process cannot be cancelled: they are skipped.
            self._given_up.set()
            self._executor.shutdown(cancel_futures=True)

    def submit(self, task: Task, first: bool = False) -> None:
        """Put a task at the end of the queue, or before everything that waits.

        With several processes it is begun as soon as one of them is free.
        """
        if first:
            self._waiting.appendleft(task)
        else:
            self._waiting.append(task)
        if not self._alone():
            self._fill()

    def completed(self) -> Iterator[Task]:
        """Give every task when it is done, until none is left; more may be submitted meanwhile.

        An exception that a task raises comes out here.
        """
        while self._waiting or self._running:
            if self._alone():
                task = self._waiting.popleft()
                self._started(task)
                task.value, task.seconds = _timed(task.function, task.arguments)
                yield task
                continue
            self._fill()
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            finished = [(self._running.pop(future), future.result()) for future in done]
            self._fill()
            for task, (value, seconds) in finished:
                task.value, task.seconds = value, seconds
                yield task

    def _alone(self) -> bool:
        """Whether the next task runs in this process: it would be the only one in the others."""
        return self._jobs == 1 or (self._executor is None and len(self._waiting) == 1)

    def _fill(self) -> None:
        if self._executor is None:
            self._given_up = self._context.Event()
            self._executor = ProcessPoolExecutor(
                self._jobs,
                mp_context=self._context,
                initializer=_remember,
                initargs=(self._given_up,),
            )
        # Two for each process, so that none waits for its next one.
        while self._waiting and len(self._running) < 2 * self._jobs:
            task = self._waiting.popleft()
            self._started(task)
            future = self._executor.submit(_timed_unless_given_up, task.function, task.arguments)
            self._running[future] = task


def _timed(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    value = function(*arguments)
    return value, time.perf_counter() - start


# In the processes of `Workers`: set when their parent has no more use for what they do.
_given_up: Event


def _remember(given_up: Event) -> None:
    global _given_up
    _given_up = given_up


def _timed_unless_given_up(
    function: Callable[..., Any], arguments: Sequence[Any]
) -> tuple[Any, float]:
    return (None, 0.0) if _given_up.is_set() else _timed(function, arguments)
