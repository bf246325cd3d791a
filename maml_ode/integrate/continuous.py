"""``solve``: a flow as an initial value problem."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import OdeSolver

from maml_ode._validation import Array, as_point, check_choice, check_count, check_real
from maml_ode.flows import Flow, GradientNormBelow, SwitchRule
from maml_ode.integrate.assemble import assemble, check_t_eval, join
from maml_ode.integrate.evaluation import Ledger
from maml_ode.integrate.exact_run import solve_exact
from maml_ode.integrate.methods import choose, is_explicit, resolve, stiff_method
from maml_ode.integrate.monitor import Callback
from maml_ode.integrate.phases import PhaseMachine
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.segment import Settings, Tolerances
from maml_ode.integrate.warnings import NonSmoothWarning
from maml_ode.trajectory import Trajectory

__all__ = ["solve"]

# Below this the gradient norm of a MAML loss whose gradient jumps need not ever fall: the flow slides along
# a kink, on which the one-sided gradients stay away from 0.
NON_SMOOTH_FLOOR = 1e-3


def solve(
    flow: Flow,
    w0: npt.ArrayLike | None = None,
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
    max_evaluations: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    diagnostics: bool = True,
    energy: str = "count",
    sliding: str = "stop",
    resume: Trajectory | None = None,
    **options: Any,
) -> Trajectory:
    """Advance a flow in continuous time until it is stationary or a limit is met.

    Every phase is one call of ``scipy.integrate.solve_ivp``; at a switch the state is found by stepping to it,
    and the next phase starts there. Quadratic flows have a closed form, ``method="exact"``.

    Parameters
    ----------
    flow : Flow
    w0 : array_like of shape (d,)
        The initial value; left out with ``resume``.
    tol : float
        Stationarity: stop when the norm of the last phase's field, evaluated at the accepted state, is at
        most ``tol``, in the units of the gradient. 0 switches the test off; ``t_max`` must then be finite.
    t_max : float
        The horizon.
    method : str or type
        "auto"; "exact"; a name in ``mo.integrate.METHODS`` (Tsit5, DOP853, RKC2, ...); SciPy's RK23, RK45,
        Radau, BDF, LSODA; or any ``scipy.integrate.OdeSolver`` class. The implicit ones receive the analytic
        Jacobian. The result's ``method`` says what "auto" chose and why; it may change to a stiff method
        on the way.
    rtol, atol : float, optional
        Error tolerances of the step control. By default rtol = tol within [1e-12, 1e-6], atol = rtol/100 and at
        most tol/(15 lambda_max) where lambda_max is known, and both are lowered when the norm stalls above
        ``tol`` because of them.
    t_eval : array_like, optional
        Times at which to report; like ``solve_ivp``, by default the steps taken.
    dense_output : bool
        Whether to keep a continuous solution ``sol``.
    max_steps : int
        Limit on accepted steps over all phases.
    max_seconds : float, optional
        Limit on wall-clock time.
    max_evaluations : int, optional
        Limit on evaluations of the fields.
    progress : bool
        Whether to show a progress bar.
    callback : callable, optional
        ``callback(state)`` after every accepted step, with ``state.t, w, phase, field_norm, step``; returning
        true or raising StopIteration ends the run. Not called by "exact", which takes no steps.
    diagnostics : bool
        Whether to fill ``loss``, ``grad_norm``, ``task_loss`` and ``task_grad_norm``.
    energy : {"count", "integrate", "enforce"}
        The energy ledger of gradient phases: count the steps over which the phase's objective rises;
        also integrate the squared gradient norm along the path, whose difference from the drop of the
        objective estimates the path's error (four gradients a step, counted as diagnostics); also undo
        every step that raises the objective beyond rounding and take it again with a quarter of its length.
    sliding : {"stop", "follow"}
        What to do where two phases of ``rule="retest"`` or ``"as_printed"`` push at each other: stop and say
        so, or follow the Filippov motion along the switching surface, as phase 2.
    resume : Trajectory, optional
        Go on from where this run of the same flow ended; the result holds both parts.
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
    >>> run.stop.name, round(float(run.w[0]), 6)
    ('STATIONARY', 0.421053)
    """
    if not isinstance(flow, Flow):
        raise TypeError(
            f"flow must be a Flow such as mo.maml_flow(...), not {type(flow).__name__}."
        )
    start, t_start, number = _check_start(flow, w0, resume)
    tol = check_real("tol", tol, minimum=0.0)
    t_max = _check_horizon(t_max, t_start)
    max_steps = check_count("max_steps", max_steps)
    energy = check_choice("energy", energy, ("count", "integrate", "enforce"))
    sliding = check_choice("sliding", sliding, ("stop", "follow"))
    if max_seconds is not None:
        max_seconds = check_real("max_seconds", max_seconds, minimum=0.0, strict=True)
    if max_evaluations is not None:
        max_evaluations = check_count("max_evaluations", max_evaluations)
    times = check_t_eval(t_eval, t_start, t_max)
    _check_has_an_end(flow, tol, t_max)
    stepping = rtol is not None or atol is not None or callback is not None or bool(options)
    stepping = stepping or energy == "enforce"
    ledger = Ledger(max_seconds, max_evaluations)
    choice = choose(
        flow, method, start, tol=tol, horizon=t_max - t_start, stepping=stepping, ledger=ledger
    )
    chosen, label = choice.method, choice.label
    if chosen == "exact":
        _refuse_unused(rtol=rtol, atol=atol, callback=callback, **options)
        sol: Callable[[npt.ArrayLike], Array] | None
        path, sol = solve_exact(
            flow, start, t_start, number or 0, tol=tol, t_max=t_max, ledger=ledger
        )
    else:
        solver = resolve(chosen)
        _check_smoothness(flow, tol, t_max)
        tolerances = Tolerances.choose(flow, tol, rtol, atol)
        watch = method == "auto" and is_explicit(solver) and not options
        _check_reachable(flow, solver, tol, tolerances)
        with Progress(progress, f"{flow.name} by {solver.__name__}", t_max, tol) as bar:
            settings = Settings(
                solver,
                t_max,
                tolerances,
                max_steps,
                callback,
                bar,
                options,
                dense=dense_output or times is not None or energy != "count",
                enforce_energy=energy == "enforce",
                stiff_method=resolve(stiff_method(flow)) if watch else None,
            )
            machine = PhaseMachine(
                flow, ledger, settings, tol=tol, follow_sliding=sliding == "follow"
            )
            path = machine.run(t_start, start, number)
            sol = machine.tape.solution()
            label += settings.changed_method
    run = assemble(
        flow,
        path,
        ledger,
        method=label,
        diagnostics=diagnostics,
        t_eval=times,
        sol=sol,
        keep_sol=dense_output,
        integrate_energy=energy != "count",
    )
    return run if resume is None else join(resume, run)


def _check_start(
    flow: Flow, w0: npt.ArrayLike | None, resume: Trajectory | None
) -> tuple[Array, float, int | None]:
    """Return the state, time and phase to begin with."""
    if resume is None:
        if w0 is None:
            raise TypeError("solve needs w0, or resume= with the trajectory to go on from.")
        return as_point("w0", w0, flow.dim), 0.0, None
    if w0 is not None:
        raise TypeError("with resume= the start is the trajectory's end; leave w0 out.")
    if resume.flow_name != flow.name or resume.final_state.size != flow.dim:
        raise ValueError(
            f"resume holds a run of {resume.flow_name!r} with d = {resume.final_state.size}, but the flow is "
            f"{flow.name!r} with d = {flow.dim}; pass the same flow."
        )
    number = 0 if resume.final_phase is None else resume.final_phase
    known = flow.rule is SwitchRule.ONE_WAY and number < len(flow.phases)
    return resume.final_state.copy(), resume.final_time, number if known else None


def _check_horizon(t_max: float, t_start: float) -> float:
    if isinstance(t_max, (int, float, np.integer, np.floating)) and t_max == math.inf:
        return math.inf
    return check_real("t_max", t_max, minimum=t_start, strict=True)


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
        f"{fact}: every integrator falls to first order there, and the default rtol = 1e-4 is about what "
        f"the path is good for; {companion} avoids it.",
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
