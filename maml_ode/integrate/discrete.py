"""``euler``: the discrete algorithms, MAML, BI-MAML, FO-MAML and Reptile, as forward Euler on their flows."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_count, check_real
from maml_ode.flows import Flow, GradientNormBelow, SwitchRule
from maml_ode.integrate.assemble import Path, assemble
from maml_ode.integrate.evaluation import (
    Abort,
    FieldEvaluator,
    Ledger,
    SwitchingFunction,
    vector_norm,
)
from maml_ode.integrate.monitor import Callback, State
from maml_ode.integrate.progress import Progress
from maml_ode.integrate.warnings import StepSizeWarning
from maml_ode.trajectory import StopReason, Trajectory

__all__ = ["euler"]


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

    Returns
    -------
    Trajectory
        ``t`` is k * step_size. With ``tol=0`` reaching ``max_iter`` is success.

    Raises
    ------
    ValueError
        For a w0 of wrong shape or not finite, or numbers out of range.

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
        raise TypeError(
            f"flow must be a Flow such as mo.maml_flow(...), not {type(flow).__name__}."
        )
    if rule is not None:
        flow = flow.with_rule(rule)
    w = as_point("w0", w0, flow.dim)
    step_size = check_real("step_size", step_size, minimum=0.0, strict=True)
    tol = check_real("tol", tol, minimum=0.0)
    max_iter = check_count("max_iter", max_iter, minimum=0)
    record_every = check_count("record_every", record_every)
    _warn_if_unstable(flow, step_size)
    ledger = Ledger()
    path = Path(len(flow.phases))
    with Progress(progress, f"{flow.name} by Euler", max_iter * step_size, tol) as bar:
        _iterate(flow, w, step_size, tol, max_iter, record_every, path, ledger, bar, callback)
    return assemble(
        flow, path, ledger, method="Euler", diagnostics=diagnostics, step_size=step_size
    )


def _iterate(
    flow: Flow,
    w: Array,
    step_size: float,
    tol: float,
    max_iter: int,
    record_every: int,
    path: Path,
    ledger: Ledger,
    progress: Progress,
    callback: Callback | None,
) -> None:
    selector = _PhaseSelector(flow, ledger)
    k = 0
    try:
        while True:
            t = k * step_size
            switches = len(path.switches)
            number = selector.decide(t, w, path)
            if number >= len(flow.phases):
                path.append(t, w, number - 1)
                path.end(t, w, StopReason.SWITCHED, str(StopReason.SWITCHED), True)
                return
            # With tol = 0 nothing is left to decide at the last point, so its field is not evaluated.
            unseen = k == max_iter and tol == 0
            velocity = np.zeros_like(w) if unseen else selector.evaluators[number](t, w)
            norm = np.nan if unseen else vector_norm(velocity)
            if k % record_every == 0 or unseen or len(path.switches) > switches:
                path.append(t, w, number)
            if callback is not None and k > 0:
                state = State(t, w.copy(), number, float(norm), k)
                if _called_back(callback, state):
                    path.append(t, w, number)
                    message = f"{StopReason.INTERRUPTED} By the callback at iteration {k}."
                    path.end(t, w, StopReason.INTERRUPTED, message, False)
                    return
            if unseen:
                message = f"{StopReason.STEP_LIMIT} max_iter = {max_iter}.{selector.remark(path)}"
                path.end(t, w, StopReason.STEP_LIMIT, message, True)
                return
            if not np.isfinite(norm):
                path.append(t, w, number)
                message = (
                    f"{StopReason.NON_FINITE} The field {flow.phases[number].field.label} at iteration {k}; "
                    "lower step_size."
                )
                path.end(t, w, StopReason.NON_FINITE, message, False)
                return
            if tol > 0 and selector.stationarity(number, norm, t, w) <= tol:
                path.append(t, w, number)
                message = f"{StopReason.STATIONARY} tol = {tol:g} at iteration {k}."
                path.end(t, w, StopReason.STATIONARY, message, True)
                return
            if k == max_iter:
                path.append(t, w, number)
                message = f"{StopReason.STEP_LIMIT} max_iter = {max_iter}.{selector.remark(path)}"
                path.end(t, w, StopReason.STEP_LIMIT, message, False)
                return
            with np.errstate(all="ignore"):
                following = w + step_size * velocity
            if not np.isfinite(following).all():
                path.append(t, w, number)
                message = f"{StopReason.NON_FINITE} At iteration {k + 1}; lower step_size."
                path.end(t, w, StopReason.NON_FINITE, message, False)
                return
            w = following
            k += 1
            ledger.steps += 1
            progress.update(t, norm)
    except Abort as stop:
        path.append(k * step_size, w, min(selector.number, len(flow.phases) - 1))
        path.end(k * step_size, w, stop.reason, stop.message, False)
    except KeyboardInterrupt:
        t = k * step_size
        path.append(t, w, selector.number if selector.number < len(flow.phases) else 0)
        message = f"{StopReason.INTERRUPTED} From the keyboard at iteration {k}."
        path.end(t, w, StopReason.INTERRUPTED, message, False)


def _called_back(callback: Callback, state: State) -> bool:
    try:
        return bool(callback(state))
    except StopIteration:
        return True


class _PhaseSelector:
    """Decides the phase at w_k under the flow's rule, sharing gradients with the step where it can."""

    def __init__(self, flow: Flow, ledger: Ledger) -> None:
        self.flow = flow
        self.number = 0
        self.evaluators = [FieldEvaluator(phase.field, ledger) for phase in flow.phases]
        self._rules = [
            None if phase.until is None else SwitchingFunction(phase.until, evaluator)
            for phase, evaluator in zip(flow.phases, self.evaluators, strict=True)
        ]
        self._started = False

    def decide(self, t: float, w: Array, path: Path) -> int:
        """Return the phase in force at ``w``, recording a switch if it has changed."""
        if self.flow.rule is SwitchRule.ONE_WAY:
            for _ in range(len(self._rules)):
                rule = self._rules[self.number] if self.number < len(self._rules) else None
                if rule is None or rule(t, w) > 0:
                    break
                path.switch(t, w, self.number)
                self.number = self.flow.following(self.number)
            return self.number
        rule = self._rules[0]
        inside = rule is not None and rule(t, w) <= 0
        number = int(inside) if self.flow.rule is SwitchRule.RETEST else int(not inside)
        if self._started and number != self.number:
            path.switch(t, w, self.number)
        self.number, self._started = number, True
        return number

    def stationarity(self, number: int, norm: float, t: float, w: Array) -> float:
        """Return the norm that the stationarity test looks at; infinite where it does not look."""
        last = len(self.flow.phases) - 1
        if number == last and self.flow.phases[last].then is None:
            return norm
        if self.flow.rule is SwitchRule.ONE_WAY:
            return float("inf")
        return vector_norm(self.evaluators[last](t, w))

    def remark(self, path: Path) -> str:
        """Return a sentence on repeated switching."""
        if self.flow.rule is SwitchRule.ONE_WAY or len(path.switches) < 2:
            return ""
        return f" The phase changed {len(path.switches)} times: the test is repeated at every iteration."


def _warn_if_unstable(flow: Flow, step_size: float) -> None:
    for number, phase in enumerate(flow.phases):
        field = phase.field.affine
        if field is None:
            continue
        limit = 2.0 / field.largest_eigenvalue if field.largest_eigenvalue > 0 else np.inf
        if step_size > limit:
            ending = phase.until
            detail = (
                f" (it ends at ||grad|| <= {ending.threshold:g})"
                if isinstance(ending, GradientNormBelow)
                else ""
            )
            warnings.warn(
                f"step_size = {step_size:g} exceeds the stability limit 2/lambda_max = {limit:.6g} of phase "
                f"{number}, {phase.field.label}{detail}: the iterates will grow; use a smaller step_size.",
                StepSizeWarning,
                stacklevel=3,
            )
