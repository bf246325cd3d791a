"""``solve``: a flow as an initial value problem."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import OdeSolver

from maml_ode._validation import Array, as_point, check_count, check_real
from maml_ode.counts import Counts
from maml_ode.flows import Flow, GradientNormBelow
from maml_ode.integrate.assemble import Path, assemble, check_t_eval
from maml_ode.integrate.evaluation import Ledger, vector_norm
from maml_ode.integrate.exact import ExactPhase, ExactSolution, why_not_exact
from maml_ode.integrate.methods import choose, is_explicit, resolve
from maml_ode.integrate.monitor import Callback
from maml_ode.integrate.phases import PhaseMachine, Tolerances
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.warnings import NonSmoothWarning
from maml_ode.trajectory import StopReason, Trajectory

__all__ = ["solve"]

# Below this the gradient norm of a MAML loss whose gradient jumps need not ever fall: the flow slides along
# a kink, on which the one-sided gradients stay away from 0.
NON_SMOOTH_FLOOR = 1e-3


def solve(
    flow: Flow,
    w0: npt.ArrayLike,
    *,
    tol: float = 1e-8,
    t_max: float = math.inf,
    method: str | type[OdeSolver] = "auto",
    rtol: float | None = None,
    atol: float | None = None,
    t_eval: npt.ArrayLike | None = None,
    dense_output: bool = False,
    max_steps: int = 100_000,
    max_seconds: float | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    diagnostics: bool = True,
    **options: Any,
) -> Trajectory:
    """Advance a flow in continuous time until it is stationary or a limit is met.

    Every phase is one call of ``scipy.integrate.solve_ivp``; at a switch the state is found by stepping to it,
    and the next phase starts there. Quadratic flows have a closed form, ``method="exact"``.

    Parameters
    ----------
    flow : Flow
    w0 : array_like of shape (d,)
        The initial value.
    tol : float
        Stationarity: stop when the norm of the last phase's field, evaluated at the accepted state, is at
        most ``tol``, in the units of the gradient. 0 switches the test off; ``t_max`` must then be finite.
    t_max : float
        The horizon.
    method : str or type
        "auto"; "exact"; RK23, RK45, DOP853, Radau, BDF, LSODA; or any ``scipy.integrate.OdeSolver`` class.
        The implicit ones receive the analytic Jacobian.
    rtol, atol : float, optional
        Error tolerances of the step control. By default rtol = tol within [1e-12, 1e-6], atol = rtol/100,
        and both are lowered when the norm stalls above ``tol`` because of them.
    t_eval : array_like, optional
        Times at which to report; like ``solve_ivp``, by default the steps taken.
    dense_output : bool
        Whether to keep a continuous solution ``sol``.
    max_steps : int
        Limit on accepted steps over all phases.
    max_seconds : float, optional
        Limit on wall-clock time.
    progress : bool
        Whether to show a progress bar.
    callback : callable, optional
        ``callback(state)`` after every accepted step, with ``state.t, w, phase, field_norm, step``; returning
        true or raising StopIteration ends the run. Not called by "exact", which takes no steps.
    diagnostics : bool
        Whether to fill ``loss``, ``grad_norm``, ``task_loss`` and ``task_grad_norm``.
    **options
        Handed to the method (``first_step``, ``max_step``, ...).

    Returns
    -------
    Trajectory
        Whatever ended the run, with what was computed until then; see ``stop`` and ``message``.

    Raises
    ------
    ValueError
        For a w0 of wrong shape or not finite, neither a tolerance nor a horizon, a tolerance that cannot be
        reached, an unknown method, or "exact" for a flow without closed form.
    TypeError
        For an option that the method does not know.

    Warns
    -----
    NonSmoothWarning
        If the field is discontinuous.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> run = mo.solve(mo.maml_flow(tasks, alpha=0.1), [10.0])
    >>> run.stop.name, round(run.w[0], 6)
    ('STATIONARY', 0.421053)
    """
    if not isinstance(flow, Flow):
        raise TypeError(
            f"flow must be a Flow such as mo.maml_flow(...), not {type(flow).__name__}."
        )
    start = as_point("w0", w0, flow.dim)
    tol = check_real("tol", tol, minimum=0.0)
    t_max = _check_horizon(t_max)
    max_steps = check_count("max_steps", max_steps)
    if max_seconds is not None:
        max_seconds = check_real("max_seconds", max_seconds, minimum=0.0, strict=True)
    times = check_t_eval(t_eval, t_max)
    _check_has_an_end(flow, tol, t_max)
    stepping = rtol is not None or atol is not None or callback is not None or bool(options)
    chosen, reason = choose(flow, method, stepping=stepping)
    ledger = Ledger(max_seconds)
    label = f"{chosen if isinstance(chosen, str) else chosen.__name__}"
    if reason:
        label += f" (auto: {reason})"
    if chosen == "exact":
        _refuse_unused(rtol=rtol, atol=atol, callback=callback, **options)
        return _solve_exact(
            flow, start, tol, t_max, times, dense_output, ledger, label, diagnostics
        )
    solver = resolve(chosen)
    _check_smoothness(flow, tol, t_max)
    tolerances = Tolerances.choose(flow, tol, rtol, atol)
    _check_reachable(flow, solver, tol, tolerances)
    with Progress(progress, f"{flow.name} by {solver.__name__}", t_max, tol) as bar:
        machine = PhaseMachine(
            flow,
            solver,
            ledger,
            tol=tol,
            t_max=t_max,
            tolerances=tolerances,
            max_steps=max_steps,
            callback=callback,
            progress=bar,
            options=options,
            dense=dense_output or times is not None,
        )
        path, sol = machine.run(start)
    return assemble(
        flow,
        path,
        ledger,
        method=label,
        diagnostics=diagnostics,
        t_eval=times,
        sol=sol,
        keep_sol=dense_output,
    )


def _solve_exact(
    flow: Flow,
    start: Array,
    tol: float,
    t_max: float,
    t_eval: Array | None,
    dense_output: bool,
    ledger: Ledger,
    label: str,
    diagnostics: bool,
) -> Trajectory:
    problem = why_not_exact(flow)
    if problem is not None:
        raise ValueError(
            f'method="exact" needs affine phases with a closed form, but {problem}; use "auto" or DOP853.'
        )
    path = Path(len(flow.phases))
    phases: list[ExactPhase] = []
    t, w = 0.0, start
    for number, phase in enumerate(flow.phases):
        field = phase.field.affine
        if field is None:  # why_not_exact has seen to it; this is for the type checker
            raise RuntimeError("an affine field lost its matrix; this is a defect of maml_ode.")
        exact = ExactPhase.begin(field, t, w)
        phases.append(exact)
        ledger.nfev += 1
        ledger.njev += 1
        ledger.nlu += 1
        ledger.add(phase.field.cost)
        ledger.add(Counts(hessians=1))
        last = number == len(flow.phases) - 1
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
        if not last:
            path.switch(t, w, number)
            continue
        size = vector_norm(phase.field(w))
        ledger.nfev += 1
        ledger.add(phase.field.cost)
        _end_exact(path, t, w, size, threshold)
    sol = ExactSolution(phases, path.final_time)
    return assemble(
        flow,
        path,
        ledger,
        method=label,
        diagnostics=diagnostics,
        t_eval=t_eval,
        sol=sol,
        keep_sol=dense_output,
    )


def _end_exact(path: Path, t: float, w: Array, size: float, threshold: float) -> None:
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


def _check_horizon(t_max: float) -> float:
    if isinstance(t_max, (int, float, np.integer, np.floating)) and t_max == math.inf:
        return math.inf
    return check_real("t_max", t_max, minimum=0.0, strict=True)


def _check_has_an_end(flow: Flow, tol: float, t_max: float) -> None:
    if math.isfinite(t_max):
        return
    if tol == 0 and flow.phases[-1].until is None:
        raise ValueError("with tol=0 the run has no end; pass a finite t_max, or a tol above 0.")
    for number, phase in enumerate(flow.phases[:-1]):
        if isinstance(phase.until, GradientNormBelow) and phase.until.threshold == 0:
            raise ValueError(
                f"phase {number} ends at a gradient norm of 0, which a flow reaches only as t grows "
                "without bound; pass a switch_tol above 0, or a finite t_max."
            )


def _refuse_unused(**given: Any) -> None:
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise ValueError(
            f'method="exact" takes no steps and has no use for {", ".join(named)}; leave it out, or name a '
            "stepping method such as DOP853."
        )


def _check_smoothness(flow: Flow, tol: float, t_max: float) -> None:
    """Warn of a field that jumps, and refuse a stationarity that its kinks keep out of reach."""
    rough = [phase.field for phase in flow.phases if phase.field.smoothness < 0]
    if not rough:
        return
    loss = getattr(flow.objective.tasks, "loss", None)
    companion = (
        f'the smooth companion SVM(..., loss="smooth_{loss}")'
        if isinstance(loss, str)
        else "a smooth family"
    )
    fact = f"the field {rough[0].label} is discontinuous at the kinks of the losses"
    if math.isinf(t_max) and 0 < tol < NON_SMOOTH_FLOOR:
        raise ValueError(
            f"{fact}, so its norm need not fall to tol = {tol:g}; use {companion}, a tol of at least "
            f"{NON_SMOOTH_FLOOR:g}, or a finite t_max."
        )
    warnings.warn(
        f"{fact}: every integrator falls to first order there; {companion} avoids it.",
        NonSmoothWarning,
        stacklevel=3,
    )


def _check_reachable(
    flow: Flow, solver: type[OdeSolver], tol: float, tolerances: Tolerances
) -> None:
    """Refuse a tol below the residual that an explicit method keeps at its stability limit.

    With step control at absolute tolerance atol the state hovers within about 0.3 to 15 times atol of the
    equilibrium in the stiffest direction, whose residual is lambda_max times that.
    """
    field = flow.phases[-1].field.affine
    if tol == 0 or field is None or not is_explicit(solver) or not tolerances.fixed_atol:
        return
    floor = 0.3 * field.largest_eigenvalue * tolerances.atol
    if floor > tol:
        raise ValueError(
            f"tol = {tol:g} is below {floor:.3g}, the residual that {solver.__name__} keeps at atol = "
            f"{tolerances.atol:g} on a field with lambda_max = {field.largest_eigenvalue:.3g}; leave atol "
            f"out, lower it below {tol / (15 * field.largest_eigenvalue):.1g}, or use Radau, BDF or exact."
        )
