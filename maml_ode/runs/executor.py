"""Independent calls, run in this process or in several that stay for as long as there is work."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

from maml_ode.runs.processes import Processes

__all__ = ["Task", "Workers"]

# How often a wait looks up: on Windows Ctrl-C does not end one that has no end of its own.
LOOK_UP = 0.2


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


class Workers(Executor):
    """Processes for independent calls: a ``concurrent.futures.Executor``, and an ordered queue of tasks.

    As an executor it has `submit`, ``map`` and `shutdown`. As a queue it takes tasks by `add`, begins them
    in their order, ``jobs`` of them at a time, and gives them back by `completed` as they are done.

    Processes are started when they are first needed, and stay until the end of the ``with`` block: they
    import and compile once, whatever the number of calls. They end at once if the block is left by an
    exception, and if this process dies. If one of them dies, the call that it was at fails with a
    ``BrokenProcessPool`` that names the process, another process takes its place, and the other calls go on.

    Parameters
    ----------
    jobs : int
        Number of processes.
    started : callable, optional
        ``started(task)``, called when a task is begun or handed over to a process.
    here : bool, optional
        Whether everything runs in this process, a submitted call at once. By default if ``jobs`` is 1;
        and a single task that waits alone is not worth another process either.

    Examples
    --------
    >>> from maml_ode.runs.executor import Workers
    >>> with Workers(1) as workers:
    ...     print(workers.submit(pow, 2, 10).result(), list(workers.map(abs, [-1, -2])))
    1024 [1, 2]
    """

    def __init__(
        self, jobs: int, started: Callable[[Task], None] | None = None, here: bool | None = None
    ) -> None:
        self._jobs = jobs
        self._started = started or (lambda task: None)
        self._here = jobs == 1 if here is None else here
        self._single = here is None
        self._waiting: deque[Task] = deque()
        self._running: dict[Task, Future[Any]] = {}
        self._done: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._processes: Processes | None = None
        self._shut = False
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
            if error is not None and self._processes is not None:
                self._processes.kill()
            self.shutdown(cancel_futures=error is not None)
        finally:
            if self._on_interrupt is not None:
                signal.signal(signal.SIGINT, self._on_interrupt)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin ``fn(*args, **kwargs)`` when a process is free, and return its future.

        Where everything runs in this process, the call is done on return.

        Raises
        ------
        RuntimeError
            After `shutdown`.
        """
        if self._shut:
            raise RuntimeError("the workers have been shut down and take no more calls.")
        if not self._here:
            return self._others().submit(fn, args, kwargs)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(self.here(fn, *args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with ``cancel_futures`` forget those that have not begun."""
        self._shut = True
        if self._processes is not None:
            self._processes.shutdown(wait, cancel_futures)

    def add(self, task: Task, first: bool = False) -> None:
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
        """Give every task when it is done, until none is left; more may be added meanwhile.

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
            with suppress(queue.Empty):
                task = self._done.get(timeout=LOOK_UP)
                task.value, task.seconds = self._running.pop(task).result()
                self._fill()
                yield task

    def here(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a function in this process and return what it returns.

        Raises
        ------
        KeyboardInterrupt
            If Ctrl-C was pressed since the beginning of the ``with`` block, even if something took that
            for itself, as `solve` and `euler` do, and the function returned or stumbled over what it
            got.
        """
        try:
            value = function(*arguments, **named)
        except Exception as error:
            if self._interrupted:
                raise KeyboardInterrupt from error
            raise
        if self._interrupted:
            raise KeyboardInterrupt
        return value

    def _alone(self) -> bool:
        """Whether the next task runs in this process: it would be the only one in the others."""
        single = self._single and self._processes is None and len(self._waiting) == 1
        return self._here or (single and not self._running)

    def _others(self) -> Processes:
        if self._processes is None:
            self._processes = Processes(self._jobs)
        return self._processes

    def _fill(self) -> None:
        # Two for each process, so that none waits for its next one.
        while self._waiting and len(self._running) < 2 * self._jobs:
            task = self._waiting.popleft()
            self._started(task)
            future = self._others().submit(_timed, (task.function, task.arguments), {})
            self._running[task] = future
            future.add_done_callback(lambda _, task=task: self._done.put(task))  # type: ignore[misc]


def _timed(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    value = function(*arguments)
    return value, time.perf_counter() - start
