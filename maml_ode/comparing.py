"""``compare``: what accuracy costs, by method and tolerance, on any flow."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import (
    Array,
    as_array,
    as_point,
    as_sequence,
    check_count,
    check_flag,
    check_real,
    check_text,
    shown,
    unknown_name,
)
from maml_ode.flows import Flow
from maml_ode.integrate import euler, solve
from maml_ode.integrate.exact import why_not_exact
from maml_ode.integrate.methods import resolve
from maml_ode.integrate.warnings import NonSmoothWarning, StepSizeWarning
from maml_ode.reference import Reference, given_reference, make_reference, reached, states_at
from maml_ode.runs.progress import PointProgress
from maml_ode.runs.rows import data_frame, text_table
from maml_ode.sizes import MATRIX_ON_A_PATH
from maml_ode.stop import StopReason
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from scipy.integrate import OdeSolver

__all__ = ["COUNTED", "Comparison", "compare"]

Method = "str | type[OdeSolver]"

EXPLICIT = ("Tsit5", "DOP853", "RK45", "LSODA", "RKC2")
IMPLICIT = ("Radau", "BDF", "Rodas5P")
RTOLS = (1e-2, 1e-4, 1e-6, 1e-8)
EULER_STEPS = (25, 50, 100, 200, 400)
COUNTED = (
    "gradients", "hvps", "hessians", "thirds", "third_vectors", "factorizations", "steps", "rejected"
)  # fmt: skip
SHOWN = (
    "method", "rtol", "step_size", "error", "work", "gradients", "hvps", "hessians", "factorizations",
    "steps", "rejected", "seconds", "stop",
)  # fmt: skip
# What is run before a method is timed, so that no time holds a compilation: this part of the horizon.
WARM_UP = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What every run of a comparison was worth, and what it cost.

    Attributes
    ----------
    rows : list of dict
        One a run: ``method``; ``rtol`` (None for Euler and "exact"); ``step_size`` (None but for Euler);
        ``error``, the distance from the reference at t_max (the largest one, if there are more times) in
        units of the distance travelled, NaN where a run failed; ``work`` in gradient passes at the stated
        prices; counts by kind; ``steps``, ``rejected``; ``seconds``; ``stop``, the name of the stop reason, or
        the error that a run raised; and ``message``, the whole sentence.
    reference : str
        How the reference was made.
    reference_error : float
        What is unsure of it, in the units of ``error``; errors below it mean nothing. NaN if it was given.
    travelled : float
        ||w_ref(t_max) - w0||.
    prices : dict of str to float
        What a Hessian-vector product, a Hessian (d x d; a third derivative contracted to a vector or a matrix
        likewise) and a factorisation cost in gradient passes.
    flow_name : str
    dim : int
    t_max : float
    times : ndarray of shape (n,)
        At which errors are taken.
    states : ndarray of shape (d, n)
        The reference.
    switch_times : ndarray of shape (s,)
        When the reference changed its phase.
    """

    rows: list[dict[str, Any]]
    reference: str
    reference_error: float
    travelled: float
    prices: dict[str, float]
    flow_name: str
    dim: int
    t_max: float
    times: Array
    states: Array = field(repr=False)
    switch_times: Array = field(repr=False)

    def table(self) -> str:
        """Return aligned columns, the reference and the prices, for a terminal."""
        rows = [
            {name: row[name] for name in SHOWN if row[name] is not None}
            | {"seconds": float(f"{row['seconds']:.3g}"), "error": float(f"{row['error']:.3g}")}
            for row in self.rows
        ]
        return f"{text_table(rows, SHOWN)}\n\n{self.notes()}" if rows else self.notes()

    def notes(self) -> str:
        """Return what the numbers are made of, in sentences."""
        prices = self.prices
        return (
            f"{self.flow_name} to t = {self.t_max:g}, d = {self.dim}. Errors in units of the distance travelled, "
            f"{self.travelled:.3g}.\n"
            f"Reference: {self.reference}; its own error is {self.reference_error:.1e}.\n"
            f"Work in gradient passes over all tasks: a Hessian-vector product counts {prices['hvp']:g}, a "
            f"Hessian {prices['hessian']:g}, a factorisation {prices['factorization']:g}."
        )

    def plot(self, ax: Axes | None = None, **kw: Any) -> Axes:
        """Draw error over work; see `maml_ode.plotting.plot_comparison`."""
        from maml_ode.plotting import plot_comparison

        return plot_comparison(self.rows, ax, reference_error=self.reference_error, **kw)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return data_frame(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(row["method"] for row in self.rows))
        return (
            f"Comparison({self.flow_name} to t = {self.t_max:g}: {len(self.rows)} runs by {names})"
        )


def compare(
    flow: Flow,
    w0: npt.ArrayLike,
    *,
    t_max: float,
    methods: Iterable[str | type[OdeSolver]] | Mapping[str, str | type[OdeSolver]] | None = None,
    rtols: Iterable[float] | Mapping[str, Iterable[float]] = RTOLS,
    step_sizes: Iterable[float] | None = None,
    reference: str | type[OdeSolver] | npt.ArrayLike | Reference = "auto",
    times: npt.ArrayLike | None = None,
    prices: Mapping[str, float] | None = None,
    max_steps: int = 100_000,
    max_seconds: float | None = None,
    progress: bool = False,
) -> Comparison:
    """Run a flow by several methods and tolerances, and by Euler with several step sizes.

    Parameters
    ----------
    flow : Flow
    w0 : array_like of shape (d,)
    t_max : float
        The horizon.
    methods : sequence, or mapping of labels to methods, optional
        As `solve` takes them: names and ``OdeSolver`` classes; "exact" is one run without tolerance. By
        default Tsit5, DOP853, RK45, LSODA and RKC2, the implicit Radau, BDF and Rodas5P where matrices are
        cheap, and "exact" where there is a closed form.
    rtols : sequence of float, or mapping of labels to sequences
        Relative tolerances; the absolute one is rtol times the root mean square of w_ref(t_max) - w0.
    step_sizes : sequence of float, optional
        Of Euler, which takes round(t_max/h) steps and is held against the reference at t_max where they
        lead: choose divisors of t_max. By default t_max/25, ..., t_max/400.
    reference : "auto", "exact", a method, or array_like of shape (d,) or (d, n)
        "auto": the closed form where every phase is affine, else two methods at tight tolerances, whose
        disagreement is ``reference_error``; a method: that one, checked by another; or the states themselves.
    times : array_like of shape (n,), optional
        Increasing times up to t_max at which the error is taken, the largest one counting; reporting there is
        part of a method's cost. By default t_max alone.
    prices : mapping, optional
        What "hvp", "hessian" and "factorization" cost in gradient passes, instead of 1, d and 0.
    max_steps : int
        Limit on accepted steps of a run.
    max_seconds : float, optional
        Limit on the wall-clock time of a run.
    progress : bool
        Whether to show how many runs are done and how long the rest may take.

    Returns
    -------
    Comparison
        A run that fails is a row too. After Ctrl-C, the rows of the runs that were done.

    Raises
    ------
    ValueError, TypeError
        For arguments out of range, an unknown method, a flow that does not move, or if there is no reference.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> found = mo.compare(mo.maml_flow(tasks, 0.1), [10.0], t_max=1.0, methods=["RK45"], rtols=[1e-3],
    ...                    step_sizes=[0.1, 0.05])
    >>> [(row["method"], row["steps"], round(row["error"], 4)) for row in found.rows]
    [('Euler', 10, 0.0229), ('Euler', 20, 0.0111), ('RK45', 4, 0.0)]
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow such as mo.maml_flow(...), not {shown(flow)}.")
    start = as_point("w0", w0, flow.dim)
    horizon = check_real("t_max", t_max, minimum=0.0, strict=True)
    chosen = _check_methods(flow, methods)
    tolerances = _check_rtols(rtols, chosen)
    steps = _check_step_sizes(step_sizes, horizon)
    at = _check_times(times, horizon)
    paid = _check_prices(prices, flow.dim)
    limits = {"max_steps": check_count("max_steps", max_steps)}
    if max_seconds is not None:
        limits["max_seconds"] = check_real("max_seconds", max_seconds, minimum=0.0, strict=True)  # type: ignore[assignment]
    progress = check_flag("progress", progress)
    known = _reference(flow, start, at, reference)
    travelled = known.travelled(start)
    if not travelled > 0:
        raise ValueError(
            f"the flow does not move from w0 within t_max = {horizon:g}, so that there is no distance to "
            "measure errors by; start elsewhere."
        )
    scale = travelled / math.sqrt(flow.dim)
    few = at.size == 1

    def stepped(step_size: float) -> tuple[Trajectory, Array]:
        n = max(round(horizon / step_size), 1)
        run = euler(
            flow, start, step_size, max_iter=n, record_every=n if few else 1, diagnostics=False
        )
        if few:
            return run, run.final_state[:, None]
        return run, run.y[:, np.minimum(np.rint(at / step_size).astype(int), run.t.size - 1)]

    def solved(method: Any, rtol: float | None, end: float = 1.0) -> tuple[Trajectory, Array]:
        more = {} if rtol is None else {"rtol": rtol, "atol": rtol * scale}
        if not few:
            more["t_eval"] = at * end  # type: ignore[assignment]
        run = solve(
            flow,
            start,
            tol=0.0,
            t_max=horizon * end,
            method=method,
            diagnostics=False,
            **limits,
            **more,
        )  # type: ignore[call-overload]
        return run, run.final_state[:, None] if few else states_at(run, at)

    calls: list[tuple[dict[str, Any], Callable[[], tuple[Trajectory, Array]]]] = []
    for h in steps:
        labels = {"method": "Euler", "rtol": None, "step_size": h}
        calls.append((labels, lambda h=h: stepped(h)))  # type: ignore[misc]
    for label, method in chosen.items():
        for rtol in [None] if method == "exact" else tolerances[label]:
            labels = {"method": label, "rtol": rtol, "step_size": None}
            calls.append((labels, lambda m=method, r=rtol: solved(m, r)))  # type: ignore[misc]
    rows: list[dict[str, Any]] = []
    with warnings.catch_warnings(), PointProgress(progress, len(calls)) as bar:
        # Said once, where the reference was made; and a step that is too large shows in its row.
        warnings.simplefilter("ignore", NonSmoothWarning)
        warnings.simplefilter("ignore", StepSizeWarning)
        _warm_up(lambda m: solved(m, 1e-2, WARM_UP), chosen)
        for labels, call in calls:
            row, interrupted = _row(labels, call, known.states, travelled, paid)
            if interrupted:
                break
            rows.append(row)
            bar.advance(math.isnan(row["error"]))
    return Comparison(
        rows=rows,
        reference=known.how,
        reference_error=known.error / travelled,
        travelled=travelled,
        prices=paid,
        flow_name=flow.name,
        dim=flow.dim,
        t_max=horizon,
        times=at,
        states=known.states,
        switch_times=known.switch_times,
    )


def _row(
    labels: dict[str, Any],
    call: Callable[[], tuple[Trajectory, Array]],
    states: Array,
    travelled: float,
    prices: Mapping[str, float],
) -> tuple[dict[str, Any], bool]:
    """Return a run as a row, and whether it was interrupted."""
    begin = time.perf_counter()
    try:
        run, path = call()
    except Exception as error:  # whatever a method, or a function of the user's, stumbles over
        row = labels | {"error": math.nan, "work": math.nan} | dict.fromkeys(COUNTED, 0)
        reason = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - begin
        return row | {"seconds": seconds, "stop": reason, "message": str(error)}, False
    counts = run.counts
    work = counts.gradient_equivalents(prices["hvp"], prices["hessian"])
    done = run.success if labels["method"] == "Euler" else reached(run)
    error = math.nan
    if done and path.shape == states.shape:
        with np.errstate(over="ignore"):
            error = float(np.linalg.norm(path - states, axis=0).max()) / travelled
    row = labels | {
        "error": error,
        "work": work + prices["factorization"] * counts.factorizations,
        **{name: getattr(counts, name) for name in COUNTED},
        "seconds": run.elapsed,
        "stop": run.stop.name,
        "message": run.message,
    }
    return row, run.stop is StopReason.INTERRUPTED


def _warm_up(solved: Callable[[Any], Any], methods: Mapping[str, Any]) -> None:
    for method in methods.values():
        if method != "exact":
            try:
                solved(method)
            except Exception:
                continue


def _reference(flow: Flow, w0: Array, times: Array, reference: Any) -> Reference:
    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, (str, type)):
        if reference not in ("auto", "exact"):
            resolve(reference)
        return make_reference(flow, w0, times, reference)
    return given_reference(reference, flow.dim, times.size)


def _check_methods(flow: Flow, methods: Any) -> dict[str, Any]:
    if methods is None:
        small = flow.dim <= MATRIX_ON_A_PATH
        small = small and all(phase.field.has_jacobian for phase in flow.phases)
        names = [*EXPLICIT, *(IMPLICIT if small else ())]
        return {name: name for name in (names if why_not_exact(flow) else [*names, "exact"])}
    if isinstance(methods, Mapping):
        found = [(check_text("a label of methods", label), one) for label, one in methods.items()]
    else:
        listed = as_sequence("methods", methods, "methods, such as ['RK45', 'DOP853']")
        found = [
            (one if isinstance(one, str) else getattr(one, "__name__", ""), one) for one in listed
        ]
    chosen: dict[str, Any] = {}
    for label, method in found:
        if label.lower() == "euler":
            raise ValueError("Euler is not one of the methods: its runs are given by step_sizes=.")
        if method not in ("auto", "exact"):
            resolve(method)
        if label in chosen:
            raise ValueError(
                f"two of the methods are called {label}; pass a mapping of labels to methods."
            )
        chosen[label] = method
    return chosen


def _check_rtols(rtols: Any, methods: Mapping[str, Any]) -> dict[str, list[float]]:
    by_label = rtols if isinstance(rtols, Mapping) else None
    if by_label is not None:
        for label in by_label:
            if label not in methods:
                raise ValueError(unknown_name("method in rtols", label, methods))
    shared = RTOLS if by_label is not None else as_sequence("rtols", rtols, "relative tolerances")
    found = {}
    for label in methods:
        listed: Sequence[Any] = shared
        if by_label is not None and label in by_label:
            listed = as_sequence(f"rtols[{label!r}]", by_label[label], "relative tolerances")
        found[label] = [check_real("rtols", one, minimum=0.0, strict=True) for one in listed]
    return found


def _check_step_sizes(step_sizes: Any, horizon: float) -> list[float]:
    if step_sizes is None:
        return [horizon / n for n in EULER_STEPS]
    listed = as_sequence("step_sizes", step_sizes, "step sizes")
    found = [check_real("step_sizes", one, minimum=0.0, strict=True) for one in listed]
    for h in found:
        if round(horizon / h) < 1:
            raise ValueError(
                f"the step size {h:g} makes round(t_max/h) = 0 steps to t_max = {horizon:g}; use a smaller "
                "one."
            )
    return found


def _check_times(times: Any, horizon: float) -> Array:
    if times is None:
        return np.array([horizon])
    at = as_array("times", times, (None,))
    if not at.size or at[0] <= 0 or (np.diff(at) <= 0).any() or not math.isclose(at[-1], horizon):
        raise ValueError(
            f"times must increase from above 0 to t_max = {horizon:g}, not {shown(times)}."
        )
    at[-1] = horizon
    return at


def _check_prices(prices: Mapping[str, float] | None, dim: int) -> dict[str, float]:
    paid = {"hvp": 1.0, "hessian": float(dim), "factorization": 0.0}
    for name, price in ({} if prices is None else prices).items():
        if name not in paid:
            raise ValueError(unknown_name("price", name, paid))
        paid[name] = check_real(f"the price {name}", price, minimum=0.0)
    return paid
