"""A trajectory beside the curves that theory says it must stay below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._checked_runs import checked_run
from maml_ode._validation import Array, shown
from maml_ode.flows import Flow
from maml_ode.objectives import ExpectedLoss, MAMLLoss
from maml_ode.sizes import MATRIX_ON_A_PATH
from maml_ode.tasks.base import TaskFamily, checked_family
from maml_ode.theory.bounds import pointwise
from maml_ode.theory.bounds.quadratic_exact import QuadraticFacts
from maml_ode.theory.certificates.bounding_curves import bounding_curves
from maml_ode.theory.certificates.followed import check_identity, followed_gradients
from maml_ode.theory.certificates.setting import Point
from maml_ode.theory.evaluation import extreme_eigenvalues, objective_hessian
from maml_ode.theory.family_constants.find import constants as find_constants
from maml_ode.theory.family_constants.model import Constants, checked_constants
from maml_ode.theory.quantities import Status, worst
from maml_ode.theory.regions import Sublevel, enclosing_ball
from maml_ode.theory.step_size import one_step_alpha, outside_theory
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Monitor", "monitor"]


@dataclass(frozen=True, eq=False)
class Monitor:
    """Bounds along a trajectory, one entry per saved time; NaN where a bound does not apply.

    A slack is what an inequality leaves over; negative beyond rounding means that the constants are
    wrong there.

    Attributes
    ----------
    trajectory : Trajectory
    t : ndarray of shape (n,)
    gap : ndarray
        f - f*.
    gap_bound : ndarray
        Its upper bound: the gap curve on flows, its discrete form on iterates.
    task_grad_norm, deviation, mean_gradient_norm, grad_norm : ndarray
        ||grad f||, sd, E||grad f_i||, ||grad F||.
    task_grad_bound : ndarray
        The corrected Lemma 3.8 for ||grad f||: x_inf + (||g_0|| - x_inf) exp(-zeta_1 t).
    grad_bound : ndarray
        An upper bound of ||grad F||.
    printed_bound : ndarray
        sqrt(y(t)) of Theorem B.2 as printed, for ||grad f||: half the rate, needs y(0) >=
        gamma/zeta.
    descent_slack, transfer_slack, hessian_slack : ndarray
        <grad f, grad F> - psi ||grad f||^2 + rho sd ||grad f||; the room of ||grad F||; the smaller
        room of the two Hessian bounds (NaN above d = 200).
    inside : ndarray of bool
        Whether w and its one-step images lie in the constants' region.
    status : Status
    violations : tuple of str
        One sentence per inequality that fails somewhere.
    not_covered : tuple of str
        One sentence per phase to which no curve applies: it follows neither gradient.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("linear_regression")
    >>> run = mo.solve(problem.maml_flow(), problem.w0, tol=1e-6)
    >>> report = mo.theory.monitor(run, problem.tasks, problem.alpha)
    >>> report.ok, bool((report.grad_norm <= report.grad_bound * (1 + 1e-9)).all())
    (True, True)
    """

    trajectory: Trajectory
    t: Array
    gap: Array
    gap_bound: Array
    task_grad_norm: Array
    deviation: Array
    mean_gradient_norm: Array
    grad_norm: Array
    task_grad_bound: Array
    grad_bound: Array
    printed_bound: Array
    descent_slack: Array
    transfer_slack: Array
    hessian_slack: Array
    inside: npt.NDArray[np.bool_]
    status: Status
    violations: tuple[str, ...]
    not_covered: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no inequality is violated and the path never left the constants' region."""
        return not self.violations and bool(self.inside.all())

    def plot(self, ax: Axes | None = None, **kw: Any) -> Axes:
        """Draw the bound of ||grad F|| over the trajectory's gradient norm.

        Parameters
        ----------
        ax : Axes, optional
            An axes that shows the gradient norm; by default the trajectory draws itself first.
        **kw
            Properties of the line of the bound.
        """
        from maml_ode.plotting.panels import draw_bound

        if ax is None:
            (ax,) = self.trajectory.plot(show="grad_norm")
        draw_bound(ax, self, **kw)
        ax.legend()
        return ax


@np.errstate(all="ignore")  # what is not finite is no bound
def monitor(
    trajectory: Trajectory,
    tasks: TaskFamily,
    alpha: npt.ArrayLike,
    constants: Constants | None = None,
    flow: Flow | None = None,
) -> Monitor:
    """Compare a trajectory of MAML or BI-MAML with the curves and inequalities of the theory.

    Parameters
    ----------
    trajectory : Trajectory
        From `solve` or `euler`. The curves are those of the gradients that its path follows, grad F
        or grad f phase by phase; where it follows neither (FO-MAML, say) only the pointwise
        inequalities apply.
    tasks : TaskFamily
    alpha : float or array_like
        Those of the run.
    constants : Constants, optional
        Found by `maml_ode.theory.constants` if not given.
    flow : Flow, optional
        The flow that the run is claimed to be made with; its identity is compared with the run's.

    Returns
    -------
    Monitor

    Raises
    ------
    ValueError
        If the trajectory is not one of these tasks with this alpha and one inner step, or not of
        ``flow``, or for mu <= 0, alpha >= 1/L, a negative alpha or an array, where none of the curves
        exists unless F is quadratic.

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("linear_regression")
    >>> run = mo.solve(problem.maml_flow(), problem.w0, tol=1e-6)
    >>> mo.theory.monitor(run, problem.tasks, problem.alpha).ok
    True
    """
    checked_run(trajectory)
    checked_family(tasks)
    size = one_step_alpha(tasks, alpha)
    reason = outside_theory(size)
    if trajectory.y.shape[0] != tasks.dim:
        raise ValueError(
            f"trajectory has d = {trajectory.y.shape[0]}, but tasks has d = {tasks.dim}; "
            "pass the tasks that the run was made with."
        )
    if flow is not None:
        if not isinstance(flow, Flow):
            raise TypeError(f"flow must be a Flow such as mo.maml_flow(...), not {shown(flow)}.")
        check_identity(trajectory, flow)
    k = find_constants(tasks) if constants is None else checked_constants(constants, tasks)
    f, F = ExpectedLoss(tasks), MAMLLoss(tasks, size)
    form = F.quadratic_form
    facts = None if form is None or not QuadraticFacts(form).unique else QuadraticFacts(form)
    if reason and facts is None:
        raise ValueError(f"there are no curves to compare with: {reason}.")
    # An alpha beyond the theory has the decay of its quadratic and nothing else.
    step = math.inf if reason else float(size)
    standing = bool(k.mu > 0 and step * k.L < 1.0)
    if not standing and facts is None:
        raise ValueError(
            f"the curves need mu > 0 and alpha < 1/L, but mu = {k.mu:.4g} and alpha L = {step * k.L:.4g}."
        )
    points = [Point.at(F, np.ascontiguousarray(w)) for w in trajectory.y.T]
    slacks = np.full((len(points), 3), np.nan)
    if standing:
        slacks = np.array([_slacks(F, k, point) for point in points])
    names = ("task_grad_norm", "deviation", "mean_gradient_norm", "grad_norm")
    columns = dict(
        zip(
            names,
            np.array(
                [(p.gradient_norm, p.deviation, p.mean_norm, p.gradient_F_norm) for p in points]
            ).T,
            strict=True,
        )
    )
    if not any(
        _agree(trajectory.grad_norm, columns[name]) for name in ("grad_norm", "task_grad_norm")
    ):
        raise ValueError(
            "the trajectory's ||grad F|| is not that of MAMLLoss(tasks, alpha): pass the tasks and the "
            "alpha that the run was made with (one inner step, no query family)."
        )
    followed = followed_gradients(trajectory, f, F)
    least = math.nan if k.minimizer is None else f.value(k.minimizer)
    gap = np.array([f.value(point.w) for point in points]) - least
    norms = columns["task_grad_norm"], columns["grad_norm"]
    curves = bounding_curves(trajectory, followed, k, step, facts, gap, *norms)
    status = worst(k.mu, k.L, k.mu_f, k.L_f, Status.BOUND)
    if math.isfinite(k.kappa):
        status = worst(status, k.kappa)
    scale = columns["mean_gradient_norm"]
    rounding = 1e-9 * k.L * (1.0 + np.linalg.norm(trajectory.y, axis=0))
    checks = {
        "descent": (slacks[:, 0], scale**2, rounding * (scale + rounding)),
        "gradient transfer": (slacks[:, 1], scale, rounding),
        "Hessian bounds": (slacks[:, 2], np.full_like(gap, k.L), 1e-9 * k.L),
        # the gap's rounding is that of f itself
        "gap curve": (
            curves["gap_bound"] - gap,
            np.abs(curves["gap_bound"]),
            rounding * scale + 1e-9,
        ),
        "gradient curve": (curves["task_grad_bound"] - columns["task_grad_norm"], scale, rounding),
        "bound of grad F": (curves["grad_bound"] - columns["grad_norm"], scale, rounding),
    }
    wrong = "constants underestimated" if status is Status.ESTIMATE else "wrong constants"
    violations = []
    for name, (slack, size, floor) in checks.items():
        bad = np.flatnonzero(slack < -(1e-6 * size + floor))
        if bad.size:
            first = float(trajectory.t[bad[0]])
            violations.append(f"{name} violated first at t = {first:.6g}: {wrong}.")
    return Monitor(
        trajectory,
        trajectory.t,
        gap,
        descent_slack=slacks[:, 0],
        transfer_slack=slacks[:, 1],
        hessian_slack=slacks[:, 2],
        inside=_inside(k, step, points, gap),
        status=status,
        violations=tuple(violations),
        not_covered=tuple(
            f"phase {phase} is not covered by the curves: it follows neither -grad f nor -grad F."
            for phase, kind in followed.items()
            if kind is None and np.count_nonzero(trajectory.phase == phase) > 1
        ),
        **columns,
        **curves,
    )


def _agree(recorded: Array, computed: Array) -> bool:
    """Whether a run's own norms are those of an objective; a run without diagnostics agrees with all."""
    known = np.isfinite(recorded)
    scale = float(computed[known].max(initial=0.0))
    return bool((np.abs(recorded - computed)[known] <= 1e-6 * scale).all())


def _slacks(F: MAMLLoss, k: Constants, point: Point) -> tuple[float, float, float]:
    norm, sd = point.gradient_norm, point.deviation
    arguments = (F.alpha, k.mu.value, k.L.value)
    low = float(pointwise.descent_lower(norm, sd, *arguments))
    top = float(pointwise.gradient_of_F_upper(norm, sd, *arguments))
    hessian = math.nan
    if F.has_hessian and F.dim <= MATRIX_ON_A_PATH and math.isfinite(k.kappa):
        norms = np.linalg.norm(point.gradients, axis=1)
        task = (norms, k.weights, float(F.alpha), k.mu_i, k.L_i, k.kappa_i)
        values = extreme_eigenvalues(objective_hessian(F, point.w))
        hessian = min(
            float(values[0]) - float(pointwise.task_curvature_lower(*task)),
            float(pointwise.task_curvature_upper(*task)) - float(values[-1]),
        )
    return float(point.gradient @ point.gradient_F) - low, top - point.gradient_F_norm, hessian


def _inside(k: Constants, alpha: float, points: list[Point], gap: Array) -> npt.NDArray[np.bool_]:
    """Return whether each point and its one-step images lie in the constants' region."""
    if k.region is None:
        return np.ones(len(points), dtype=np.bool_)
    if isinstance(k.region, Sublevel):
        return np.asarray(gap <= k.region.level)
    ball = enclosing_ball(k.region, k.minimizer, k.mu_f)
    reach = [
        np.linalg.norm(np.vstack([p.w, p.w - alpha * p.gradients]) - ball.center, axis=1).max()
        for p in points
    ]
    return np.asarray(np.array(reach) <= ball.radius)
