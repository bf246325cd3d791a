"""Processes that take one call each at a time, so that it is known which of them died at what."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from maml_ode._files import undisturbed

__all__ = ["NoProcessError", "Processes"]


class NoProcessError(BrokenProcessPool):
    """A process ended before its first call, so that no other would begin one either."""


@dataclass(eq=False)
class _Call:
    function: Callable[..., Any]
    arguments: Sequence[Any]
    named: Mapping[str, Any]
    future: Future[Any]


@dataclass(eq=False)
class _Lane:
    """A pool of one process, the number of that process once it is known, and whether it is at work."""

    pool: ProcessPoolExecutor
    number: Future[int]
    busy: bool = False


class Processes:
    """Up to ``size`` processes and the calls that wait for them.

    Each is a pool of its own: in a common one the death of a process fails all calls, and nobody says which of
    them it was at. They hear nothing of Ctrl-C.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[_Call] = deque()
        self._lanes: list[_Lane] = []
        # Pools whose process has died. Not closed at once: who reports a death holds the pool's lock.
        self._broken: list[ProcessPoolExecutor] = []
        self._closed = self._draining = False
        # Reentrant: a call that is done already reports so while the next one is being begun.
        self._lock = threading.RLock()
        # A fresh interpreter per process: forking one whose threads hold locks may hang.
        self._context = get_context("spawn")
        # A process of ours ends when the other end of this pipe is closed, by us or by our death.
        self._lifeline, self._held = self._context.Pipe(duplex=False)

    def submit(
        self, function: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> Future[Any]:
        """Return the future of a call that begins when a process is free."""
        future: Future[Any] = Future()
        with self._lock:
            self._waiting.append(_Call(function, arguments, named, future))
        self._begin()
        return future

    def shutdown(self, wait: bool, cancel_futures: bool) -> None:
        """Let the processes end when the calls, except those that are cancelled, are done."""
        if cancel_futures:
            self._cancel()
        if not wait:
            self._draining = True
            self._drain()
            return
        with self._lock:
            waiting = [call.future for call in self._waiting]
        for future in waiting:
            with suppress(Exception):
                future.exception()
        with self._lock:
            self._closed = True
            pools = [*self._broken, *(lane.pool for lane in self._lanes)]
        for pool in pools:
            pool.shutdown(cancel_futures=cancel_futures)
        self._held.close()
        self._lifeline.close()

    def kill(self) -> None:
        """End the processes at once, whatever they are at."""
        self._cancel()
        with self._lock:
            self._closed = True
        self._held.close()

    def _cancel(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for call in waiting:
            call.future.cancel()

    def _drain(self) -> None:
        """Close the pools once nothing waits for them any more."""
        with self._lock:
            if not self._draining or self._closed or self._waiting:
                return
            self._closed = True
            pools = [lane.pool for lane in self._lanes]
        for pool in pools:
            pool.shutdown(wait=False)

    def _begin(self) -> None:
        """Hand waiting calls over to processes that are free."""
        while True:
            with self._lock:
                if self._closed or not self._waiting:
                    return
                lane = self._free_lane()
                if lane is None:
                    return
                call = self._waiting.popleft()
                if not (call.future.running() or call.future.set_running_or_notify_cancel()):
                    continue
                try:
                    with _deaf_to_interrupts():
                        inner = lane.pool.submit(call.function, *call.arguments, **call.named)
                except BrokenProcessPool:  # the process died while it had nothing to do
                    self._lose(lane)
                    self._waiting.appendleft(call)
                    continue
                lane.busy = True
            inner.add_done_callback(partial(self._end, lane, call))

    def _lose(self, lane: _Lane) -> None:
        self._lanes.remove(lane)
        self._broken.append(lane.pool)

    def _free_lane(self) -> _Lane | None:
        """Return a process without work, a new one if need be; None if all that there may be are at work."""
        for lane in self._lanes:
            if not lane.busy:
                return lane
        if len(self._lanes) == self._size:
            return None
        pool = ProcessPoolExecutor(
            1, mp_context=self._context, initializer=_prepare, initargs=(self._lifeline,)
        )
        with _deaf_to_interrupts():
            lane = _Lane(pool, pool.submit(os.getpid))
        self._lanes.append(lane)
        return lane

    def _end(self, lane: _Lane, call: _Call, inner: Future[Any]) -> None:
        """Pass on what came of a call, and begin the next one; runs in a thread of the pool's."""
        error = None if inner.cancelled() else inner.exception()
        broken = isinstance(error, BrokenProcessPool)
        with self._lock:
            lane.busy = False
            if broken:
                self._lose(lane)
        if broken:
            error = _named(lane, error)
            if isinstance(error, NoProcessError):
                self._cancel()
        with suppress(Exception):  # the user's own callbacks are no concern of the next call
            if inner.cancelled():
                call.future.set_exception(BrokenProcessPool("the processes were ended."))
            elif error is not None:
                call.future.set_exception(error)
            else:
                call.future.set_result(inner.result())
        self._begin()
        self._drain()


def _named(lane: _Lane, error: BaseException | None) -> BrokenProcessPool:
    """Return the error that says which process has died."""
    if lane.number.done() and not lane.number.cancelled() and lane.number.exception() is None:
        died = BrokenProcessPool(f"worker process {lane.number.result()} died during the call")
    else:
        died = NoProcessError(
            "a worker process ended before its first call; a script that starts processes does so under "
            'if __name__ == "__main__":, since each process reads the script again'
        )
    died.__cause__ = error
    return died


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


def _prepare(lifeline: Connection) -> None:
    """Make a process end when its parent lets go of the lifeline, and not by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()


def _watch(lifeline: Connection) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    with undisturbed:
        os._exit(1)
