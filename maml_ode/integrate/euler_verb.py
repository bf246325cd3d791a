"""``euler``: the discrete algorithms, MAML, BI-MAML, FO-MAML and Reptile, as forward Euler on their flows."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from maml_ode._validation import (
    Array,
    as_point,
    as_rng,
    check_callable,
    check_count,
    check_flag,
    check_real,
    shown,
)
from maml_ode.flows import Flow, GradientNormBelow
from maml_ode.flows.fields import VectorField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.integrate.callback import Callback
from maml_ode.integrate.driver import Driver
from maml_ode.integrate.finish import finish
from maml_ode.integrate.plan import NO_METHOD, Plan, Tolerances
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.record import Record
from maml_ode.integrate.steppers.euler import EulerStepper
from maml_ode.integrate.steppers.sampled import SampledEulerStepper, TaskSampler
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.warnings import StepSizeWarning
from maml_ode.trajectory import Trajectory

__all__ = ["Iterate", "euler", "iterate", "task_sampler", "warn_if_unstable"]

# So many products with an affine field's matrix are over before Numba is loaded.
FEW_ITERATIONS = 1000


def euler(
    flow: Flow,
    w0: npt.ArrayLike,
    step_size: float,
    *,
    tol: float = 0.0,
    max_iter: int = 1000,
    record_every: int = 1,
    rule: str | None = None,
    progress: bool = False,
    callback: Callback | None = None,
    diagnostics: bool = True,
    tasks_per_step: int | None = None,
    rng: np.random.Generator | int | None = None,
) -> Trajectory:
    """Advance a flow by w_{k+1} = w_k + step_size * v(w_k).

    On `maml_flow` this is MAML, on `bimaml_flow` BI-MAML (Algorithm 1 of Xu, Chen and Karbasi), on
    `fomaml_flow` FO-MAML. The phase is decided at w_k before the step; the stationarity test belongs to the
    last phase, so that phase 1 of BI-MAML never evaluates grad F.

    Parameters
    ----------
    flow : Flow
    w0 : array_like of shape (d,)
    step_size : float
        beta > 0.
    tol : float
        Stop at the first w_k in the last phase whose field norm is at most ``tol``; 0 runs all ``max_iter``
        steps. Under ``rule="as_printed"`` and ``"retest"`` the norm of the second phase's field is tested
        at every iteration, as Algorithm 1 does.
    max_iter : int
        Number of steps.
    record_every : int
        Keep every so many iterates; the first, the last and those at which the phase changes are always
        kept.
    rule : {"one_way", "as_printed", "retest"}, optional
        Overrides the flow's switching rule; see `maml_ode.flows.SwitchRule`.
    progress, callback, diagnostics
        As in `solve`; the callback sees w_1, w_2, ... with the norm of the field at each, NaN at the last one
        if it was not evaluated.

    tasks_per_step : int, optional
        B: every step is made of B tasks alone, drawn anew, as the algorithms are run on many tasks. With uniform
        weights it is the mean over B distinct tasks, else the plain mean over B tasks drawn by p_i, which may
        repeat: its expectation is the step over all tasks, and as step_size tends to 0 the iterates tend to the
        flow. The rules that end phases, the test against ``tol`` (a full evaluation in every step, if tol > 0)
        and the diagnostics look at all tasks. ``counts.task_gradients`` and ``task_hvps`` count evaluations of
        single tasks, ``gradients`` and ``hvps`` are these over M.
    rng : numpy.random.Generator or int, optional
        What draws the tasks; by default the seed 0.

    Returns
    -------
    Trajectory
        ``t`` is k * step_size. With ``tol=0`` reaching ``max_iter`` is success.

    Raises
    ------
    ValueError
        For a w0 of wrong shape or not finite, or numbers out of range.
    TypeError
        For ``tasks_per_step`` with a phase that is no mean over tasks, or an ``rng`` without it. Momentum and
        Nesterov's flow are driven by one, so that they may be run on a few tasks a step.

    Notes
    -----
    On fields of compiled families the steps are taken in compiled code, with the same iterates as one by one;
    quadratics of up to 1000 iterations stay in NumPy, which agrees to rounding.

    Warns
    -----
    StepSizeWarning
        If ``step_size`` exceeds the stability limit 2/lambda_max of a quadratic phase.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> run = mo.euler(mo.bimaml_flow(tasks, 0.1, switch_tol=0.5), [10.0], 0.1, tol=1e-6)
    >>> run.stop.name, len(run.t) - 1
    ('STATIONARY', 119)
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow must be a Flow such as mo.maml_flow(...), not {shown(flow)}.")
    if rule is not None:
        flow = flow.with_rule(rule)
    w = as_point("w0", w0, flow.dim)
    step_size = check_real("step_size", step_size, minimum=0.0, strict=True)
    tol = check_real("tol", tol, minimum=0.0)
    max_iter = check_count("max_iter", max_iter, minimum=0)
    record_every = check_count("record_every", record_every)
    if callback is not None:
        check_callable("callback", callback, "callback(state)")
    diagnostics = check_flag("diagnostics", diagnostics)
    progress = check_flag("progress", progress)
    sampler = task_sampler(flow, tasks_per_step, rng)
    warn_if_unstable(flow, step_size)
    start = Iterate(0, flow.legs[0].field.lift(w), None)
    return iterate(
        flow, start, step_size, sampler, tol=tol, max_iter=max_iter, record_every=record_every,
        progress=progress, callback=callback, diagnostics=diagnostics,
    )  # fmt: skip


@dataclass(frozen=True)
class Iterate:
    """Where an algorithm is: after k iterations in the whole state z, in a phase if that is known."""

    k: int
    z: Array
    phase: int | None


def iterate(
    flow: Flow,
    start: Iterate,
    step_size: float,
    sampler: TaskSampler | None,
    *,
    max_iter: int,
    tol: float = 0.0,
    record_every: int = 1,
    progress: bool = False,
    callback: Callback | None = None,
    diagnostics: bool = False,
) -> Trajectory:
    """Return the run of an algorithm from one of its iterates to the ``max_iter``-th; see `euler`."""
    tally = Tally()
    record = Record(flow.state_dim, tally, lifted=flow.is_lifted)
    record.begin(start.k * step_size, start.z, start.phase or 0)
    # Euler has no error control: of a plan it reads nothing.
    plan = Plan(NO_METHOD, Tolerances(0.0, 0.0, True, True), np.inf, max_iter)
    compiled = max_iter > FEW_ITERATIONS
    try:
        with Progress(progress, f"{flow.name} by Euler", max_iter * step_size, tol) as bar:
            build = EulerStepper if sampler is None else partial(SampledEulerStepper, sampler)
            stepper = build(
                flow,
                record,
                tally,
                step_size=step_size,
                tol=tol,
                max_iter=max_iter,
                record_every=record_every,
                callback=callback,
                progress=bar,
                compiled=compiled,
                done=start.k,
            )
            Driver(
                flow, stepper, plan, record, tally, tol=tol, progress=bar, compiled=compiled
            ).run(start.phase)
    except KeyboardInterrupt:
        record.interrupt()
    run = finish(flow, record, method="Euler", diagnostics=diagnostics, step_size=step_size)
    return run if sampler is None else sampler.counted(run)


def task_sampler(
    flow: Flow, tasks_per_step: int | None, rng: np.random.Generator | int | None
) -> TaskSampler | None:
    """Return what draws the tasks of every step, or None where all are taken."""
    if tasks_per_step is not None:
        return TaskSampler(flow, tasks_per_step, as_rng("rng", rng))
    if rng is not None:
        raise TypeError("rng draws the tasks of every step; pass tasks_per_step= too, or no rng.")
    return None


def _step_size_limit(field: VectorField) -> float | None:
    """Return the step size beyond which iterates grow; None where it is not known beforehand."""
    if isinstance(field, LiftedField):
        return field.step_size_limit
    if field.affine is None:
        return None
    largest = field.affine.largest_eigenvalue
    return 2.0 / largest if largest > 0 else math.inf


def warn_if_unstable(flow: Flow, step_size: float) -> None:
    """Warn the caller's caller where the iterates of a phase are known to grow."""
    for number, phase in enumerate(flow.phases):
        limit = _step_size_limit(phase.field)
        if limit is not None and step_size > limit:
            ending = phase.until
            name = "of its algorithm" if phase.field.is_lifted else "2/lambda_max"
            detail = (
                f" (it ends at ||grad|| <= {ending.threshold:g})"
                if isinstance(ending, GradientNormBelow)
                else ""
            )
            warnings.warn(
                f"step_size = {step_size:g} exceeds the stability limit {name} = {limit:.6g} of phase "
                f"{number}, {phase.field.label}{detail}: the iterates will grow; use a smaller step_size.",
                StepSizeWarning,
                stacklevel=3,
            )
