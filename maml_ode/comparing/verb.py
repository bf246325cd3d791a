"""``compare``: what accuracy costs, by method and tolerance, on any flow."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_count, check_flag, check_real, shown
from maml_ode.comparing.arguments import (
    RTOLS,
    check_methods,
    check_prices,
    check_rtols,
    check_step_sizes,
    check_times,
)
from maml_ode.comparing.comparison import Comparison
from maml_ode.comparing.reference import Reference, given_reference, make_reference
from maml_ode.comparing.runs import Runs
from maml_ode.flows import Flow
from maml_ode.integrate.methods import resolve
from maml_ode.integrate.warnings import NonSmoothWarning, StepSizeWarning
from maml_ode.runs.progress import PointProgress

if TYPE_CHECKING:
    from scipy.integrate import OdeSolver

__all__ = ["compare"]


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
    [('Euler', 10, 0.032), ('Euler', 20, 0.0156), ('RK45', 2, 0.0007)]
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow such as mo.maml_flow(...), not {shown(flow)}.")
    start = as_point("w0", w0, flow.dim)
    horizon = check_real("t_max", t_max, minimum=0.0, strict=True)
    chosen = check_methods(flow, methods)
    tolerances = check_rtols(rtols, chosen)
    steps = check_step_sizes(step_sizes, horizon)
    at = check_times(times, horizon)
    paid = check_prices(prices, flow.dim)
    limits: dict[str, Any] = {"max_steps": check_count("max_steps", max_steps)}
    if max_seconds is not None:
        limits["max_seconds"] = check_real("max_seconds", max_seconds, minimum=0.0, strict=True)
    progress = check_flag("progress", progress)
    known = _reference(flow, start, at, reference)
    travelled = known.travelled(start)
    if not travelled > 0:
        raise ValueError(
            f"the flow does not move from w0 within t_max = {horizon:g}, so that there is no distance to "
            "measure errors by; start elsewhere."
        )
    runs = Runs(flow, start, at, known, paid, limits)
    calls: list[Callable[[], dict[str, Any] | None]] = [partial(runs.euler, h) for h in steps]
    for label, method in chosen.items():
        exact = isinstance(method, str) and method == "exact"
        for rtol in [None] if exact else tolerances[label]:
            calls.append(partial(runs.method, label, method, rtol))
    rows: list[dict[str, Any]] = []
    with warnings.catch_warnings(), PointProgress(progress, len(calls)) as bar:
        # Said once, where the reference was made; and a step that is too large shows in its row.
        warnings.simplefilter("ignore", NonSmoothWarning)
        warnings.simplefilter("ignore", StepSizeWarning)
        for method in chosen.values():
            runs.warm_up(method)
        for call in calls:
            row = call()
            if row is None:
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


def _reference(flow: Flow, w0: Array, times: Array, reference: Any) -> Reference:
    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, (str, type)):
        if reference not in ("auto", "exact"):
            resolve(reference)
        return make_reference(flow, w0, times, reference)
    return given_reference(reference, flow.dim, times.size)
