"""The points of a sweep on whatever runs them: this process, others, a cluster; and what came of each."""

from __future__ import annotations

import pickle
import queue
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from maml_ode._validation import check_count, shown
from maml_ode.runs.executor import LOOK_UP, Workers
from maml_ode.runs.functions import check_importable
from maml_ode.runs.processes import NoProcessError

__all__ = ["Outcome", "check_executor", "failure", "outcomes"]


class Outcome(NamedTuple):
    """Results of a point, or why there are none; texts and plain values alone, so that it travels."""

    results: dict[str, Any]
    seconds: float
    exception: str | None = None
    traceback: str | None = None
    # Why the function was not found where the point was to be run.
    missing: str | None = None


Evaluate = Callable[..., Outcome]


def check_executor(executor: Any, run: Callable[..., Any]) -> None:
    """Refuse an executor that is none, and a function that other processes would not find.

    Raises
    ------
    TypeError, ValueError
    """
    if executor is None:
        return
    if isinstance(executor, Executor):
        if isinstance(executor, (ProcessPoolExecutor, Workers)):
            check_importable(run)
        return
    if isinstance(executor, (int, np.integer)) and not isinstance(executor, bool):
        check_count("executor", executor)
        check_importable(run)
        return
    raise TypeError(
        "executor must be None, a number of processes, or a concurrent.futures.Executor, not "
        f"{shown(executor)}; of a Dask client pass client.get_executor()."
    )


def outcomes(
    evaluate: Evaluate,
    run: Callable[..., Any],
    calls: Mapping[str, Mapping[str, Any]],
    executor: int | Executor | None,
    say: Callable[[str], None],
) -> Iterator[tuple[str, Outcome]]:
    """Give every point's key and outcome as it is done.

    ``evaluate(run, point, attempt)`` calls the function wherever the executor takes it, and returns an
    `Outcome`, failures included; ``run`` may come as its pickle.

    Raises
    ------
    TypeError
        If other processes do not find the function.
    ValueError
        If no process can be started.
    """
    if not calls:
        return
    if executor is None:
        with Workers(1) as here:
            for key, point in calls.items():
                yield key, here.here(evaluate, run, point)
    elif isinstance(executor, Executor):
        yield from _elsewhere(evaluate, run, calls, executor, say)
    else:
        with Workers(min(int(executor), len(calls)), here=False) as workers:
            yield from _elsewhere(evaluate, run, calls, workers, say)


def _elsewhere(
    evaluate: Evaluate,
    run: Callable[..., Any],
    calls: Mapping[str, Mapping[str, Any]],
    executor: Executor,
    say: Callable[[str], None],
) -> Iterator[tuple[str, Outcome]]:
    """Hand all points to an executor; try once more those whose worker dies."""
    pending: dict[Future[Outcome], str] = {}
    done: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
    tried_again: set[str] = set()

    # Unpacked where it can be said what is missing: a process that cannot read its call ends without a word.
    sent = pickle.dumps(run) if isinstance(executor, (ProcessPoolExecutor, Workers)) else run

    def begin(key: str) -> None:
        # Dask takes two calls of the same arguments for one, and would give an old failure back.
        attempt = f"{time.time_ns()}"
        try:
            future = executor.submit(evaluate, sent, calls[key], attempt)
        except BrokenExecutor as error:
            future = Future()
            future.set_exception(error)
        pending[future] = key
        future.add_done_callback(done.put)

    try:
        for key in calls:
            begin(key)
        while pending:
            try:
                future = done.get(timeout=LOOK_UP)
            except queue.Empty:
                continue
            key = pending.pop(future)
            try:
                outcome = future.result()
            except NoProcessError as error:
                raise ValueError(f"{error}.") from error
            except BrokenExecutor as error:
                if key not in tried_again:
                    tried_again.add(key)
                    point = ", ".join(f"{name} = {one!r}" for name, one in calls[key].items())
                    say(f"{error}; the point {point} is tried once more.")
                    begin(key)
                    continue
                outcome = failure(error, 0.0)
            except (
                Exception,
                CancelledError,
            ) as error:  # what cannot travel, or a cluster gives up
                outcome = failure(error, 0.0)
            if outcome.missing is not None:
                raise TypeError(
                    f"other processes do not find run ({outcome.missing}); define it at the top of a module that "
                    "they can import, or leave out executor= to run it in this process."
                )
            yield key, outcome
    finally:
        for future in pending:
            future.cancel()


def failure(error: BaseException, seconds: float) -> Outcome:
    """Return the outcome of a point that raised."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Outcome({}, seconds, text, "".join(traceback.format_exception(error)))
