"""Independent tasks, run in this process or in several that stay for as long as there is work."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import FrameType, TracebackType
from typing import Any

from maml_ode._files import undisturbed

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
    ``with`` block: they import and compile once, whatever the number of tasks. They end at once if
    the block is left by an exception, and if this process dies. With ``jobs = 1`` everything runs in
    this process.

    Parameters
    ----------
    jobs : int
        Number of processes.
    started : callable, optional
        ``started(task)``, called when a task is begun or handed over to a process.
    """

    def __init__(self, jobs: int, started: Callable[[Task], None] | None = None) -> None:
        self._jobs = jobs
        self._started = started or (lambda task: None)
        self._waiting: deque[Task] = deque()
        self._running: dict[Future[tuple[Any, float]], Task] = {}
        # A fresh interpreter per process: forking one whose threads hold locks may hang.
        self._context = get_context("spawn")
        # A process of ours ends when the other end of this pipe is closed, by us or by our death.
        self._lifeline, self._held = self._context.Pipe(duplex=False)
        self._executor: ProcessPoolExecutor | None = None
        self._interrupted = False
        self._on_interrupt: Any = None

    def __enter__(self) -> Workers:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and threading.current_thread() is threading.main_thread():

            def remember(number: int, frame: FrameType | None) -> None:
                self._interrupted = True
                handler(number, frame)

            self._on_interrupt = handler
            signal.signal(signal.SIGINT, remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                self._held.close()
            if self._executor is not None:
                self._executor.shutdown(cancel_futures=True)
        finally:
            self._held.close()
            self._lifeline.close()
            if self._on_interrupt is not None:
                signal.signal(signal.SIGINT, self._on_interrupt)

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
                task.value, task.seconds = self.here(_timed, task.function, task.arguments)
                yield task
                continue
            self._fill()
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            finished = [(self._running.pop(future), future.result()) for future in done]
            self._fill()
            for task, (value, seconds) in finished:
                task.value, task.seconds = value, seconds
                yield task

    def here(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in this process and return what it returns.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C was pressed since the beginning of the ``with`` block, even if something took that
            for itself, as `solve` and `euler` do, and the function returned or stumbled over what it
            got.
        """
        try:
            value = function(*arguments)
        except Exception as error:
            if self._interrupted:
                raise KeyboardInterrupt from error
            raise
        if self._interrupted:
            raise KeyboardInterrupt
        return value

    def _alone(self) -> bool:
        """Whether the next task runs in this process: it would be the only one in the others."""
        return self._jobs == 1 or (self._executor is None and len(self._waiting) == 1)

    def _fill(self) -> None:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self._jobs, mp_context=self._context, initializer=_begin, initargs=(self._lifeline,)
            )
        # Two for each process, so that none waits for its next one.
        while self._waiting and len(self._running) < 2 * self._jobs:
            task = self._waiting.popleft()
            self._started(task)
            with _deaf_to_interrupts():
                future = self._executor.submit(_timed, task.function, task.arguments)
            self._running[future] = task


def _timed(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    value = function(*arguments)
    return value, time.perf_counter() - start


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let Ctrl-C wait; a process that is started meanwhile never hears of it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(lifeline: Connection) -> None:
    """Make a process of `Workers` end when its parent lets go of the lifeline, and not by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()


def _watch(lifeline: Connection) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    with undisturbed:
        os._exit(1)
