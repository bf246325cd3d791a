"""``sweep``: a function on every point of a grid, here or elsewhere, kept as the points are done."""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from maml_ode import __version__
from maml_ode._validation import check_callable, check_flag, shown
from maml_ode.runs.functions import code_version, qualified_name
from maml_ode.runs.grid import RESERVED, check_takes, grid_points
from maml_ode.runs.outcomes import Outcome, check_executor, failure, outcomes
from maml_ode.runs.points import PointStore
from maml_ode.runs.progress import PointProgress
from maml_ode.runs.rows import data_frame, text_table
from maml_ode.runs.values import digest, plain
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Sweep", "SweepInterrupted", "sweep"]

COUNTED = ("gradients", "hvps", "hessians", "steps", "rejected")


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """What came of every point of a grid.

    Attributes
    ----------
    rows : list of dict
        One a point, in the grid's order: its values by name, then the results. A point that failed has
        ``exception`` (its type and message) and ``traceback`` instead of results.
    names : tuple of str
        The grid's names.
    n_points : int
        Number of points of the grid; there are fewer rows if the sweep was interrupted.
    notes : list of str
        What happened on the way: workers that died, and the points that were tried once more.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.experiments.load("diabetes").tasks
    >>> def run(alpha): return mo.solve(mo.maml_flow(tasks, alpha), [0.0] * 8, t_max=1.0)
    ...
    >>> found = mo.sweep(run, {"alpha": [0.1, 0.5]}, progress=False)
    >>> found, found.rows[0]["stop"], found.failed
    (Sweep(alpha: 2 of 2 points, 0 failed), 'HORIZON', [])
    """

    rows: list[dict[str, Any]]
    names: tuple[str, ...]
    n_points: int
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of the points that failed."""
        return [row for row in self.rows if "exception" in row]

    def table(self) -> str:
        """Return aligned columns and a closing sentence, for a terminal; tracebacks are left out."""
        names = dict.fromkeys(name for row in self.rows for name in row if name != "traceback")
        failed = len(self.failed)
        words = f"{len(self.rows)} of {self.n_points} points, {failed} failed."
        return f"{text_table(self.rows, list(names))}\n\n{words}" if self.rows else words

    def plot(self, x: str, y: str, ax: Axes | None = None, **kw: Any) -> Axes:
        """Draw one result over another; see `maml_ode.plotting.plot_sweep`."""
        from maml_ode.plotting import plot_sweep

        return plot_sweep(self.rows, x, y, ax, **kw)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return data_frame(self.rows)

    def _repr_html_(self) -> str:
        from maml_ode._html import html_table

        names = list(
            dict.fromkeys(name for row in self.rows for name in row if name != "traceback")
        )
        cells = [[_for_readers(row.get(name)) for name in names] for row in self.rows]
        return html_table(cells, names, repr(self))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return (
            f"Sweep({', '.join(self.names)}: {len(self.rows)} of {self.n_points} points, "
            f"{len(self.failed)} failed)"
        )


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep.

    Attributes
    ----------
    sweep : Sweep
        With the rows of the points that were finished.
    """

    def __init__(self, found: Sweep, kept: bool) -> None:
        how = (
            "the same call goes on from there"
            if kept
            else "they are this exception's .sweep; with store= the same call would go on from there"
        )
        super().__init__(f"{len(found)} of {found.n_points} points are finished; {how}.")
        self.sweep = found


def sweep(
    run: Callable[..., Trajectory | Mapping[str, Any]],
    grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]],
    *,
    executor: int | Executor | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Sweep:
    """Call a function on every point of a grid and collect what it returns.

    Parameters
    ----------
    run : callable
        ``run(**point)`` returns a `Trajectory`, of which its last t, loss and grad_norm, its stop and its
        costs are kept, or a mapping of names to numbers, texts and arrays.
    grid : mapping of str to sequence, or sequence of mapping
        ``{name: values}`` stands for their product, in which the last name changes fastest; a list holds the
        points themselves. Values are numbers, texts, True, False, None, arrays, or tuples of such; a point
        that occurs twice is computed once.
    executor : int or concurrent.futures.Executor, optional
        Where the calls run: in this process; in so many of its own; or wherever an executor takes them, such as
        Dask's ``Client.get_executor()`` or one of ``mpi4py.futures``.
    store : path-like, optional
        One SQLite file, written by this process alone, a transaction a point: killed and called again,
        the sweep goes on with the points that are missing or have failed. More values of the same names continue
        it. Of the code, it knows ``run`` itself, not what that calls.
    progress : bool
        Whether to show on stderr how many points are done and how long the rest may take.

    Returns
    -------
    Sweep
        Rows in the grid's order; a point that raises, or whose worker dies twice, is a row with its error.

    Raises
    ------
    ValueError
        For a grid without points, or a store of another function, version or names.
    TypeError
        For names that ``run`` does not take, values that cannot be kept, or a function that other processes
        would not find.
    SweepInterrupted
        At Ctrl-C, with the finished points; a ``KeyboardInterrupt``.

    Examples
    --------
    >>> import maml_ode as mo
    >>> def descend(alpha, seed):
    ...     problem = mo.experiments.load("linear_regression", seed=seed, alpha=alpha)
    ...     return mo.solve(problem.maml_flow(), problem.w0, tol=1e-6)
    >>> found = mo.sweep(descend, {"alpha": [0.0, 0.3], "seed": [0, 1]}, progress=False)
    >>> [(row["alpha"], row["seed"], row["stop"]) for row in found.rows[:3]]
    [(0.0, 0, 'STATIONARY'), (0.0, 1, 'STATIONARY'), (0.3, 0, 'STATIONARY')]
    """
    check_callable("run", run, "run(**point)")
    progress = check_flag("progress", progress)
    names, points = grid_points(grid)
    check_takes(run, names)
    values = [
        {name: plain(f"grid value {name}", point[name]) for name in names} for point in points
    ]
    keys = [digest(each) for each in values]
    check_executor(executor, run)
    done: dict[str, dict[str, Any]] = {}
    notes: list[str] = []

    def found() -> Sweep:
        rows = [
            {name: done[key][name] for name in names} | done[key] for key in keys if key in done
        ]
        return Sweep(rows, names, len(keys), notes)

    with ExitStack() as stack:
        kept = None
        if store is not None:
            identity = {
                "function": qualified_name(run),
                "code version": f"{code_version(run)} in maml_ode {__version__}",
            }
            kept = stack.enter_context(PointStore(store, identity, names))
            for key in keys:
                if key not in done and (row := kept.load(key)) is not None:
                    done[key] = row
        todo = {
            key: (point, own)
            for key, point, own in zip(keys, points, values, strict=True)
            if key not in done
        }
        total = len(set(keys))
        bar = stack.enter_context(PointProgress(progress, total, total - len(todo)))

        def say(note: str) -> None:
            notes.append(note)
            bar.note(note)

        calls = {key: point for key, (point, _) in todo.items()}
        try:
            for key, outcome in outcomes(_evaluate, run, calls, executor, say):
                row = todo[key][1] | outcome.results
                if kept is not None:
                    kept.save(key, row, outcome.seconds, outcome.exception, outcome.traceback)
                if outcome.exception is not None:
                    row |= {"exception": outcome.exception, "traceback": outcome.traceback}
                done[key] = row
                bar.advance(outcome.exception is not None)
        except KeyboardInterrupt as error:
            raise SweepInterrupted(found(), kept is not None) from error
    return found()


def _for_readers(value: Any) -> Any:
    return f"array {value.shape}" if isinstance(value, np.ndarray) else value


def _evaluate(
    run: Callable[..., Any] | bytes, point: Mapping[str, Any], attempt: str = ""
) -> Outcome:
    """Call the function and return its results as plain values, or its error; in whatever process."""
    start = time.perf_counter()
    if isinstance(run, bytes):
        try:
            run = cast("Callable[..., Any]", pickle.loads(run))
        except Exception as error:  # whatever its module stumbles over
            return Outcome({}, 0.0, missing=f"{type(error).__name__}: {error}")
    try:
        # A function may write into the arrays that it is given, and the next one gets them as they were.
        own = {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in point.items()
        }
        results = _results(run(**own), point)
    except (Exception, SystemExit) as error:
        return failure(error, time.perf_counter() - start)
    return Outcome(results, time.perf_counter() - start)


def _results(value: Any, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's columns.

    Raises
    ------
    TypeError, ValueError
        If it returned something else, or names that the point or a failure has.
    """
    if isinstance(value, Trajectory):
        last = {"t": value.final_time, "loss": math.nan, "grad_norm": math.nan}
        if len(value):  # it may have ended before the first of its reporting times
            last = {name: float(getattr(value, name)[-1]) for name in last}
        value = last | {"stop": value.stop.name} | {k: getattr(value.counts, k) for k in COUNTED}
    if not isinstance(value, Mapping):
        raise TypeError(
            f"run must return a Trajectory or a mapping of names to numbers, not {shown(value)}."
        )
    results = {}
    for name, one in value.items():
        if not isinstance(name, str) or name in RESERVED:
            raise ValueError(f"a result cannot be called {shown(name)}; give it another name.")
        results[name] = plain(f"the result {name}", one)
        if name in point and digest({"": results[name]}) != digest({"": plain(name, point[name])}):
            raise ValueError(
                f"the result {name} has the name of one of the point's own values, and is not that "
                "value; give it another name."
            )
    return results
