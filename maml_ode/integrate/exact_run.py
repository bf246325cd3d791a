"""Run a flow of affine phases by its closed form."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows import Flow, GradientNormBelow, Phase
from maml_ode.integrate.assemble import Path
from maml_ode.integrate.evaluation import Ledger, vector_norm
from maml_ode.integrate.exact import ExactPhase, ExactSolution, why_not_exact
from maml_ode.trajectory import StopReason

__all__ = ["solve_exact"]


def solve_exact(
    flow: Flow,
    start: Array,
    t_start: float,
    first_phase: int,
    *,
    tol: float,
    t_max: float,
    ledger: Ledger,
) -> tuple[Path, ExactSolution]:
    """Return the path and the continuous solution.

    Raises
    ------
    ValueError
        If the flow has no closed form, or a phase never ends and ``t_max`` is infinite.
    """
    problem = why_not_exact(flow)
    if problem is not None:
        raise ValueError(
            f'method="exact" needs affine phases with a closed form, but {problem}; use "auto" or DOP853.'
        )
    path = Path(len(flow.phases))
    solutions: list[ExactPhase] = []
    t, w = t_start, start
    for number in range(first_phase, len(flow.phases)):
        phase = flow.phases[number]
        last = number == len(flow.phases) - 1
        exact = _begin(phase, t, w, ledger)
        solutions.append(exact)
        threshold = tol if last else -1.0
        if isinstance(phase.until, GradientNormBelow):
            threshold = max(threshold, phase.until.threshold)
        duration = exact.time_to_norm(threshold) if threshold > 0 else math.inf
        ends_here = math.isfinite(duration) and t + duration <= t_max
        if not ends_here:
            if math.isinf(t_max):
                raise ValueError(
                    f"phase {number} never reaches a field norm of {threshold:g}: a part of the field lies "
                    "in the null space or in a growing direction of its matrix; pass t_max."
                )
            duration = t_max - t
        samples = exact.sample_times(duration) if duration > 0 else np.array([t])
        states = exact.states(samples)
        for s, column in zip(samples, states.T, strict=True):
            path.append(float(s), column, number)
        t, w = float(samples[-1]), states[:, -1].copy()
        if not ends_here:
            path.end(t, w, StopReason.HORIZON, f"{StopReason.HORIZON} t = {t:.6g}.", True)
            break
        own_rule = isinstance(phase.until, GradientNormBelow) and phase.until.threshold >= tol
        if not last or own_rule:
            path.switch(t, w, number)
            if last:
                path.end(t, w, StopReason.SWITCHED, str(StopReason.SWITCHED), True)
            continue
        size = vector_norm(phase.field(w))
        ledger.nfev += 1
        ledger.add(phase.field.cost)
        _end(path, t, w, size, threshold)
    return path, ExactSolution(solutions, path.final_time)


def _begin(phase: Phase, t: float, w: Array, ledger: Ledger) -> ExactPhase:
    field = phase.field.affine
    if field is None:
        raise RuntimeError("an affine field lost its matrix; this is a defect of maml_ode.")
    ledger.nfev += 1
    ledger.njev += 1
    ledger.nlu += 1
    ledger.add(phase.field.cost)
    ledger.add(ONE_HESSIAN)
    return ExactPhase.begin(field, t, w)


def _end(path: Path, t: float, w: Array, size: float, threshold: float) -> None:
    """End in stationarity if the field evaluated at the end, not the formula for its norm, says so."""
    numbers = f"{size:.6g} at tol = {threshold:g}, t = {t:.6g}"
    if size <= threshold * (1 + 1e-3):
        excess = "" if size <= threshold else "; the excess is rounding"
        message = f"{StopReason.STATIONARY} {numbers}{excess}."
        path.end(t, w, StopReason.STATIONARY, message, True)
        return
    message = (
        f"{StopReason.TOLERANCE_OUT_OF_REACH} Rounding leaves {numbers}, the time at which the exact "
        "norm is tol; raise tol."
    )
    path.end(t, w, StopReason.TOLERANCE_OUT_OF_REACH, message, False)


ONE_HESSIAN = Counts(hessians=1)
