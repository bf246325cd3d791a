"""When BI-MAML should leave its first phase.

Phase 1 descends f at gradient cost 1, phase 2 descends F at cost c. With asymptotic decays theta_1,
theta_2 of the distances per evaluation, kappa_c = c theta_1/theta_2 and S = ||grad f(w_F)||, w_F =
argmin F:

- kappa_c <= 1: phase 1 never pays;
- approach orthogonal to w_F - argmin f (the usual case): eps0 = S/sqrt(kappa_c - 1);
- collinear approach (the worst case): eps0 = S/(kappa_c - 1).

From the cost log(D/delta)/theta_1 + (c/theta_2) log(dist(delta)/eps) of leaving at distance delta
from argmin f, dist^2 = delta^2 + ||w_F - argmin f||^2 or dist = delta + ||w_F - argmin f||. To
first order in alpha S = 2 alpha ||E Hess f_i grad f_i||.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from maml_ode._norms import vector_norm
from maml_ode._validation import as_point, check_choice, check_real
from maml_ode.flows.switch_rules import OnlineSwitch
from maml_ode.objectives import ExpectedLoss, MAMLLoss
from maml_ode.tasks.base import TaskFamily, checked_family
from maml_ode.theory.minimizer import expected_loss_minimizer, objective_minimizer
from maml_ode.theory.step_size import one_step_alpha, outside_theory
from maml_ode.trajectory import Trajectory

__all__ = ["OnlineSwitch", "SwitchAdvice", "switch_advice", "switched_once"]


def switched_once(trajectory: Trajectory) -> bool:
    """Whether a run left its first phase at most once and for good (Algorithm 1 with the one-way reading).

    Printed, the test of Algorithm 1 is inverted and repeated; un-inverted and repeated it chatters
    for ever if eps0 < ||grad f(argmin F)||.
    """
    return bool((np.diff(trajectory.phase) >= 0).all()) and trajectory.switch_times.size <= 1


@dataclass(frozen=True)
class SwitchAdvice:
    """Whether to use phase 1, and until which eps0.

    Attributes
    ----------
    switch_tol : float or None
        The advised eps0; None if phase 1 does not pay, or if alpha is not one number of at least 0.
    cautious : float or None
        eps0 for the collinear worst case, S/(kappa_c - 1).
    gradient_at_solution : float
        S = ||grad f(w_F)||.
    rates : tuple of float
        theta_1, theta_2: decay per unit of time, or per step if a step size was given.
    kappa_c : float
        c theta_1/theta_2.
    rule : OnlineSwitch or None
        The same rule without knowing w_F.
    note : str

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("linear_regression")
    >>> advice = mo.theory.switch_advice(problem.tasks, problem.alpha)
    >>> advice.cautious < advice.switch_tol, advice.note[:9]
    (True, 'kappa_c =')
    """

    switch_tol: float | None
    cautious: float | None
    gradient_at_solution: float
    rates: tuple[float, float]
    kappa_c: float
    rule: OnlineSwitch | None
    note: str


def switch_advice(
    tasks: TaskFamily,
    alpha: npt.ArrayLike,
    cost_ratio: float = 3.0,
    *,
    step_size: float | None = None,
    approach: Literal["orthogonal", "collinear"] = "orthogonal",
    start: npt.ArrayLike | None = None,
) -> SwitchAdvice:
    """Return advice on BI-MAML's eps0 for a strongly convex f.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float or array_like
        One number of at least 0; for another one, or an array, there is no advice, and the note says so.
    cost_ratio : float
        c = cost(grad F)/cost(grad f); 3 if a Hessian-vector product costs a gradient.
    step_size : float, optional
        For the discrete algorithms: theta = -log(1 - step_size lambda_min) per step in place of
        lambda_min.
    approach : {"orthogonal", "collinear"}
        How the path comes near argmin f, relative to the direction of w_F.
    start : array_like of shape (d,), optional
        Where the search for argmin f begins.

    Returns
    -------
    SwitchAdvice

    Raises
    ------
    ValueError
        If argmin f or a local minimiser of F is not found, or Hess f or Hess F is not positive definite
        there.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("linear_regression")
    >>> advice = mo.theory.switch_advice(problem.tasks, problem.alpha, step_size=problem.beta)
    >>> round(advice.switch_tol, 3), round(advice.kappa_c, 1)
    (0.639, 22.1)
    """
    checked_family(tasks)
    size = one_step_alpha(tasks, alpha)
    cost = check_real("cost_ratio", cost_ratio, minimum=0.0, strict=True)
    kind = check_choice("approach", approach, ("orthogonal", "collinear"))
    origin = None if start is None else as_point("start", start, tasks.dim)
    reason = outside_theory(size)
    if reason:
        return SwitchAdvice(
            None, None, math.nan, (math.nan, math.nan), math.nan, None, f"no advice: {reason}."
        )
    step = float(size)
    minimizer = expected_loss_minimizer(tasks, origin)
    if minimizer is None:
        raise ValueError("argmin f was not found: switch_advice needs a strongly convex f.")
    f, F = ExpectedLoss(tasks), MAMLLoss(tasks, step)
    solution = objective_minimizer(F, minimizer)
    if solution is None:
        raise ValueError(
            "no local minimiser of F was found from argmin f; use a smaller alpha, at which F falls to one."
        )
    slow = np.linalg.eigvalsh(f.hessian(minimizer))[0], np.linalg.eigvalsh(F.hessian(solution))[0]
    if min(slow) <= 0:
        raise ValueError(
            "Hess f or Hess F is not positive definite at its minimiser, so no rate can be compared; "
            f"the smallest eigenvalues are {slow[0]:.3g} and {slow[1]:.3g}."
        )
    rates = _rates(float(slow[0]), float(slow[1]), step_size)
    S = vector_norm(f.gradient(solution))
    kappa_c = cost * rates[0] / rates[1]
    if not math.isfinite(kappa_c):
        raise ValueError(f"cost_ratio = {cost:g} is too large for these rates: kappa_c overflows.")
    if kappa_c <= 1.0:
        note = (
            f"kappa_c = {kappa_c:.3g} <= 1: phase 1 converges too slowly for its price; use MAML."
        )
        return SwitchAdvice(None, None, S, rates, kappa_c, None, note)
    divisors = {"orthogonal": math.sqrt(kappa_c - 1.0), "collinear": kappa_c - 1.0}
    divisor = divisors[kind]
    note = (
        f"kappa_c = {kappa_c:.3g}: leave phase 1 at ||grad f|| = {S / divisor:.3g}; a much smaller eps0 "
        "wastes steps on f, a much larger one wastes steps on F."
    )
    rule = OnlineSwitch(tasks, step, divisor)
    return SwitchAdvice(S / divisor, S / divisors["collinear"], S, rates, kappa_c, rule, note)


def _rates(low_f: float, low_F: float, step_size: float | None) -> tuple[float, float]:
    if step_size is None:
        return low_f, low_F
    beta = check_real("step_size", step_size, minimum=0.0, strict=True)
    if beta * max(low_f, low_F) >= 1.0:
        raise ValueError(
            f"step_size must be below 1/lambda_min = {1.0 / max(low_f, low_F):.4g}, not {beta:g}."
        )
    return -math.log1p(-beta * low_f), -math.log1p(-beta * low_F)
