"""``solve``: a flow as an initial value problem."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from maml_ode._validation import (
    Array,
    as_point,
    check_callable,
    check_choice,
    check_count,
    check_flag,
    check_real,
    shown,
)
from maml_ode.counts import Counts
from maml_ode.flows import Flow, SwitchRule
from maml_ode.flows.sliding import SlidingField
from maml_ode.integrate.assemble import join
from maml_ode.integrate.callback import Callback
from maml_ode.integrate.checks import (
    check_has_an_end,
    check_reachable,
    check_smoothness,
    refuse_sampling,
    refuse_unused,
    refuse_with_sensitivities,
)
from maml_ode.integrate.diagnose import seconds_per_point
from maml_ode.integrate.driver import Driver
from maml_ode.integrate.exact import why_not_exact
from maml_ode.integrate.finish import finish
from maml_ode.integrate.methods import (
    check_options,
    choose,
    facts_of,
    named,
    resolve,
    stiff_method,
)
from maml_ode.integrate.plan import Plan, Tolerances
from maml_ode.integrate.progress import SILENT, Progress
from maml_ode.integrate.record import Record
from maml_ode.integrate.resume import check_same_flow
from maml_ode.integrate.sensitivities.parameters import LOOSEST, blocks_of, checked_names, tightened
from maml_ode.integrate.steppers.exact import ExactStepper, exact_plan
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.times import check_horizon, check_t_eval
from maml_ode.stop import StopReason
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from scipy.integrate import OdeSolver

__all__ = ["solve"]


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
    sensitivities: str | Iterable[str] = (),
    **options: Any,
) -> Trajectory:
    """Advance a flow in continuous time until it is stationary or a limit is met.

    Every phase is one call of ``scipy.integrate.solve_ivp`` or, with our methods on fields of compiled families,
    the same steps in compiled code; at a switch the state is found by stepping to it, and the next phase starts
    there. Quadratic flows have a closed form, ``method="exact"``.

    Parameters
    ----------
    flow : Flow
    w0 : array_like of shape (d,)
        The initial value; left out with ``resume``.
    tol : float
        Stationarity: stop when the norm of the last phase's field, evaluated at the accepted state, is at
        most ``tol``, in the units of the gradient. 0 switches the test off; ``t_max`` must then be finite.
    t_max : float
        The horizon. A phase before the last one that rests there, by ``tol`` or by all that is resolved, in a
        state in which its rule is never met ends the run as STATIONARY and without success, with any method, at
        t_max or as soon as the method has seen it; one that still moves, or waits for a later time, as HORIZON.
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
        Whether to fill ``loss``, ``grad_norm``, ``task_loss`` and ``task_grad_norm``. Without them "exact" follows
        phases in which everything decays in compiled code: several times as fast, to other last digits.
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
    sensitivities : sequence of {"alpha", "switch_tol", "w0", "weights"}
        What the path and its end are to be differentiated by, forward, through switches and through the stop:
        ``result.sensitivities[name]``, see `maml_ode.Sensitivity`. The derivatives are integrated with the state,
        in the same steps, from Hessian-vector products alone. The stop is then located: ||grad F|| = tol in the
        last state. Weights move one by one, without renormalisation: only directions of sum 0 are differences
        of families. A rule that is a function of the user's is taken to depend on nothing but (t, w).
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
        reached, an unknown method, "exact" for a flow without closed form, or sensitivities that do not exist: a
        parameter that the flow lacks, a field that jumps, a switch or a stop whose surface is only touched.
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
        raise TypeError(f"flow must be a Flow such as mo.maml_flow(...), not {shown(flow)}.")
    start, t_start, number, looked = _check_start(flow, w0, resume)
    tol = check_real("tol", tol, minimum=0.0)
    t_max = check_horizon(t_max, t_start)
    max_steps = check_count("max_steps", max_steps)
    energy = check_choice("energy", energy, ("count", "integrate", "enforce"))
    sliding = check_choice("sliding", sliding, ("stop", "follow"))
    if max_seconds is not None:
        max_seconds = check_real("max_seconds", max_seconds, minimum=0.0, strict=True)
    if max_evaluations is not None:
        max_evaluations = check_count("max_evaluations", max_evaluations)
    if callback is not None:
        check_callable("callback", callback, "callback(state)")
    dense_output = check_flag("dense_output", dense_output)
    diagnostics = check_flag("diagnostics", diagnostics)
    progress = check_flag("progress", progress)
    times = check_t_eval(t_eval, t_start, t_max)
    check_has_an_end(flow, tol, t_max)
    if sliding == "follow" and flow.retested:
        SlidingField.of(flow)
    refuse_sampling(options)
    if not isinstance(method, str) or method not in ("auto", "exact"):
        check_options(resolve(method), options, _OWN_KEYWORDS)
    if rtol is not None:
        rtol = check_real("rtol", rtol, minimum=0.0)
    if atol is not None:
        atol = check_real("atol", atol, minimum=0.0, strict=True)
    blocks = blocks_of(flow, checked_names(sensitivities))
    if blocks:
        refuse_with_sensitivities(method=method, energy=energy, sliding=sliding, resume=resume)
    asks_for_steps = rtol is not None or atol is not None or callback is not None or bool(options)
    asks_for_steps = asks_for_steps or energy == "enforce" or bool(blocks)

    if resume is not None and resume.stop is StopReason.SWITCHED:
        return resume  # the last phase's own rule has ended it

    tally = Tally(max_seconds, max_evaluations)
    record = Record(flow.state_dim, tally, lifted=flow.is_lifted)
    read = None
    state = flow.legs[0].field.lift(start) if resume is None else resume.final_z.copy()
    record.begin(t_start, state, number or 0)
    record.keeps_solution = dense_output or times is not None or energy != "count"
    choice = named(method)
    try:
        if method == "auto":
            choice = choose(
                flow, method, start, tol=min(tol, LOOSEST) if blocks else tol, horizon=t_max - t_start,
                stepping=asks_for_steps, tally=tally,
            )  # fmt: skip
        if max_seconds is not None and diagnostics:
            tally.seconds_per_point, spent = seconds_per_point(flow, start)
            looked = spent if looked is None else looked + spent
        if choice.method == "exact":
            if asks_for_steps:
                refuse_unused(rtol=rtol, atol=atol, callback=callback, **options)
            if method == "exact":
                _check_exact(flow)
            stepper = ExactStepper(record, tally, t_max, compiled=not diagnostics)
            plan = exact_plan(t_max)
            Driver(flow, stepper, plan, record, tally, tol=tol, progress=SILENT).run(number)
        else:
            AdaptiveSolver, NativeStepper = _steppers()
            solver = resolve(choice.method)
            check_options(solver, options, _OWN_KEYWORDS)
            check_smoothness(flow, tol, t_max)
            tolerances = Tolerances.choose(flow, tol, rtol, atol)
            if blocks:
                tolerances = tightened(tolerances)
            check_reachable(flow, solver, tol, tolerances)
            watch = method == "auto" and facts_of(solver).explicit and not options and not blocks
            plan = Plan(
                solver,
                tolerances,
                t_max,
                max_steps,
                options,
                enforce_energy=energy == "enforce",
                stiff_method=resolve(stiff_method(flow)) if watch else None,
            )
            label = f"{flow.name} by {solver.__name__}"
            with Progress(True, label, t_max, tol) if progress else SILENT as bar:
                if blocks:
                    from maml_ode.integrate.sensitivities.follow import follow

                    followed = follow(
                        flow, blocks, start, plan, tally, tol=tol, keeps_solution=record.keeps_solution,
                        callback=callback, bar=bar,
                    )  # fmt: skip
                    record, read = followed.record, followed.sensitivities
                else:
                    Driver(
                        flow,
                        NativeStepper(record, tally, every_step=callback is not None),
                        plan,
                        record,
                        tally,
                        tol=tol,
                        follow_sliding=sliding == "follow",
                        callback=callback,
                        progress=bar,
                        compiled=issubclass(solver, AdaptiveSolver),
                    ).run(number)
    except KeyboardInterrupt:
        record.interrupt()
    run = finish(
        flow,
        record,
        method=choice.label + record.method_note,
        diagnostics=diagnostics,
        t_eval=times,
        keep_sol=dense_output,
        integrate_energy=energy != "count",
        looked=looked,
    )
    if read is not None:
        try:
            run = replace(run, sensitivities=read(run.t, times is None))
        except KeyboardInterrupt:
            from maml_ode.integrate.sensitivities.follow import UNREAD

            run = replace(run, message=run.message + UNREAD)
    return run if resume is None else join(resume, run)


@cache
def _steppers() -> tuple[Any, Any]:
    """Return what only those who step need: it imports SciPy."""
    from maml_ode.integrate.solvers.adaptive import AdaptiveSolver
    from maml_ode.integrate.steppers.native import NativeStepper

    return AdaptiveSolver, NativeStepper


def _check_exact(flow: Flow) -> None:
    """Refuse a flow without closed form."""
    reason = why_not_exact(flow)
    if reason is not None:
        raise ValueError(
            f'method="exact" needs affine phases with a closed form, but {reason}; use "auto" or DOP853.'
        )


def _check_start(
    flow: Flow, w0: npt.ArrayLike | None, resume: Trajectory | None
) -> tuple[Array, float, int | None, Counts | None]:
    """Return the state, time and phase to begin with, and what finding them cost."""
    if resume is None:
        if w0 is None:
            raise TypeError("solve needs w0, or resume= with the trajectory to go on from.")
        return as_point("w0", w0, flow.dim), 0.0, None, None
    if not isinstance(resume, Trajectory):
        raise TypeError(f"resume must be a Trajectory, not {type(resume).__name__}.")
    if w0 is not None:
        raise TypeError("with resume= the start is the trajectory's end; leave w0 out.")
    spent = check_same_flow(flow, resume)
    number = 0 if resume.final_phase is None else resume.final_phase
    known = flow.rule is SwitchRule.ONE_WAY and number < len(flow.phases)
    return resume.final_state.copy(), resume.final_time, number if known else None, spent


# What may be meant by a misspelt option of a method.
_OWN_KEYWORDS = tuple(
    name for name, p in inspect.signature(solve).parameters.items() if p.kind is p.KEYWORD_ONLY
)
