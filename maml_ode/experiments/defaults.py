"""The constants of a run that its owner leaves open: step size and switch, as theory advises them."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._norms import vector_norm
from maml_ode._validation import Array
from maml_ode.objectives import ExpectedLoss, MAMLLoss, Objective
from maml_ode.objectives.step_sizes import Alpha
from maml_ode.sizes import MATRIX_ONCE
from maml_ode.tasks.base import Smoothness, TaskFamily

__all__ = ["default_step_size", "default_switch_tol", "gradient_norm"]

# Newton's method on F takes M products of d x d matrices in each of some ten steps: a few seconds.
MOST_WORK = 2e9
SHARE = 0.1
LAST_STEP_SIZE = 0.1


def gradient_norm(tasks: TaskFamily, w: Array) -> float:
    """Return ||grad f(w)|| = ||sum_i p_i grad f_i(w)||."""
    return vector_norm(tasks.weights @ tasks.gradients(w))


def default_step_size(
    tasks: TaskFamily,
    alpha: Alpha,
    w0: Array,
    *,
    query: TaskFamily | None = None,
    inner_steps: int = 1,
) -> tuple[float, str]:
    """Return half of what Euler's stability allows at w0, and a sentence that says so."""
    from maml_ode.theory.bounds.step_limits import step_size_limit

    objectives: dict[str, Objective] = {}
    if tasks.has_hvps:
        objectives = {
            "F": MAMLLoss(tasks, alpha, inner_steps, query),
            "f": ExpectedLoss(tasks),
        }
    for name, objective in objectives.items():
        if not objective.has_hessian:
            continue
        with np.errstate(all="ignore"):
            limit = float(step_size_limit(objective, w0))
        if math.isfinite(limit) and limit > 0:
            beta = 0.5 * limit
            return beta, f"beta = {beta:.6g}, half of 2/lambda_max(Hess {name}(w0))."
    beta = float(np.max(np.abs(alpha))) or LAST_STEP_SIZE
    what = "the inner step size" if np.any(alpha) else "for want of anything better"
    return beta, f"beta = {beta:.6g}, {what}, since no Hessian bounds the step at w0."


def default_switch_tol(
    tasks: TaskFamily,
    alpha: Alpha,
    w0: Array,
    *,
    query: TaskFamily | None = None,
    inner_steps: int = 1,
) -> tuple[float, str]:
    """Return the advised eps0, else a tenth of ||grad f(w0)||, and a sentence that says which."""
    norm = gradient_norm(tasks, w0)
    if not math.isfinite(norm):
        raise ValueError(
            "the gradients of the losses are not finite at w0, so no switch_tol follows from them; pass a w0= "
            "inside their domain."
        )
    advised, reason = None, "advice is of one inner step without query losses"
    if inner_steps == 1 and query is None:
        advised, reason = _advised(tasks, alpha, w0)
    if advised is not None:
        return advised, f"eps0 = {advised:.6g}, by mo.theory.switch_advice."
    eps0 = SHARE * norm
    return eps0, f"eps0 = {eps0:.6g}, {SHARE:g} ||grad f(w0)||: {reason}."


def _advised(tasks: TaskFamily, alpha: Alpha, w0: Array) -> tuple[float | None, str]:
    """Return eps0 as theory advises it, or None and why it does not."""
    if tasks.smoothness < Smoothness.HESSIAN or not (tasks.has_hvps and tasks.has_thirds):
        return None, "advice needs losses with three derivatives"
    if tasks.dim > MATRIX_ONCE or tasks.n_tasks * float(tasks.dim) ** 3 > MOST_WORK:
        return None, "advice needs Hessians, which are too large here"
    from maml_ode.theory.bounds.switch_advice import switch_advice

    try:
        with np.errstate(all="ignore"):
            advice = switch_advice(tasks, alpha, start=w0)
    except (ValueError, np.linalg.LinAlgError) as error:
        return None, str(error).partition(":")[0].partition(";")[0].rstrip(".")
    if not math.isfinite(advice.kappa_c):
        return None, advice.note.partition(":")[2].strip().rstrip(".")
    if not advice.switch_tol:  # None, or 0 where f and F have the same minimiser
        return None, "by mo.theory.switch_advice the first phase does not pay"
    return float(advice.switch_tol), ""
