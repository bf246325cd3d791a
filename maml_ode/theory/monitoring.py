"""A trajectory beside the curves that theory says it must stay below."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, check_real
from maml_ode.objectives import ExpectedLoss, MAMLLoss
from maml_ode.tasks.base import TaskFamily
from maml_ode.theory import convergence, discrete, inequalities, printed
from maml_ode.theory.family_constants import Constants, landscapes
from maml_ode.theory.family_constants import constants as find_constants
from maml_ode.theory.landscape import Landscape
from maml_ode.theory.problem import Point
from maml_ode.theory.quantities import Status, worst
from maml_ode.theory.regions import Sublevel, enclosing_ball
from maml_ode.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Monitor", "monitor"]

_HESSIAN_LIMIT = 200


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
        if ax is None:
            (ax,) = self.trajectory.plot(show="grad_norm")
        estimated = ", estimated" if self.status is Status.ESTIMATE else ""
        style = {"color": "0.35", "linestyle": (0, (1, 1)), "label": f"bound{estimated}", **kw}
        finite = np.isfinite(self.grad_bound) & (self.grad_bound > 0)
        ax.plot(self.t[finite], self.grad_bound[finite], **style)
        ax.legend()
        return ax


def monitor(
    trajectory: Trajectory, tasks: TaskFamily, alpha: float, constants: Constants | None = None
) -> Monitor:
    """Compare a trajectory of MAML or BI-MAML with the curves and inequalities of the theory.

    Parameters
    ----------
    trajectory : Trajectory
        From `solve` or `euler`. For flows other than MAML and BI-MAML only the pointwise
        inequalities apply.
    tasks : TaskFamily
    alpha : float
        Those of the run.
    constants : Constants, optional
        Found by `maml_ode.theory.constants` if not given.

    Raises
    ------
    ValueError
        If the trajectory and the tasks differ in dimension, or mu <= 0 or alpha >= 1/L, where none
        of the curves exists.
    """
    step = check_real("alpha", alpha, minimum=0.0)
    if trajectory.y.shape[0] != tasks.dim:
        raise ValueError(
            f"trajectory has d = {trajectory.y.shape[0]}, but tasks has d = {tasks.dim}; "
            "pass the tasks that the run was made with."
        )
    k = find_constants(tasks) if constants is None else constants
    if not (k.mu > 0 and step * k.L < 1.0):
        raise ValueError(
            f"the curves need mu > 0 and alpha < 1/L, but mu = {k.mu:.4g} and alpha L = {step * k.L:.4g}."
        )
    f, F = ExpectedLoss(tasks), MAMLLoss(tasks, step)
    points = [Point.at(F, np.ascontiguousarray(w)) for w in trajectory.y.T]
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
    least = math.nan if k.minimizer is None else f.value(k.minimizer)
    gap = np.array([f.value(point.w) for point in points]) - least
    curves = _curves(trajectory, k, step, gap, columns["task_grad_norm"], columns["grad_norm"])
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
        **columns,
        **curves,
    )


def _slacks(F: MAMLLoss, k: Constants, point: Point) -> tuple[float, float, float]:
    norm, sd = point.gradient_norm, point.deviation
    arguments = (F.alpha, k.mu.value, k.L.value)
    low = float(inequalities.descent_lower(norm, sd, *arguments))
    top = float(inequalities.gradient_of_F_upper(norm, sd, *arguments))
    hessian = math.nan
    if F.has_hessian and F.dim <= _HESSIAN_LIMIT and math.isfinite(k.kappa):
        norms = np.linalg.norm(point.gradients, axis=1)
        task = (norms, k.weights, F.alpha, k.mu_i, k.L_i, k.kappa_i)
        values = np.linalg.eigvalsh(F.hessian(point.w))
        hessian = min(
            float(values[0]) - float(inequalities.task_curvature_lower(*task)),
            float(inequalities.task_curvature_upper(*task)) - float(values[-1]),
        )
    return float(point.gradient @ point.gradient_F) - low, top - point.gradient_F_norm, hessian


def _curves(
    run: Trajectory, k: Constants, alpha: float, gap: Array, norm_f: Array, norm_F: Array
) -> dict[str, Array]:
    """Return the curves on each stretch of the run that follows one gradient."""
    n = run.t.size
    names = ("gap_bound", "task_grad_bound", "grad_bound", "printed_bound")
    curves = {name: np.full(n, np.nan) for name in names}
    if run.flow_name not in ("MAML", "BI-MAML"):
        return curves
    models = landscapes(k, alpha) if math.isfinite(k.kappa) else []
    usable = [model for model in models if math.isfinite(model.gap_floor)]
    cuts = np.flatnonzero(np.diff(run.phase)) + 1
    for start, stop in zip([0, *cuts], [*cuts, n], strict=True):
        rows = slice(int(start), int(stop))
        t = run.t[rows] - run.t[rows.start]
        s0 = norm_f[rows.start]
        if math.isfinite(gap[rows.start]):
            s0 = min(s0, math.sqrt(2.0 * k.mu_f * max(gap[rows.start], 0.0)) + 1e-12 * (1 + s0))
        if run.flow_name == "BI-MAML" and run.phase[rows.start] == 0:
            rate = float(k.mu_f)
            decay = (
                np.exp(-rate * t)
                if run.step_size is None
                else (1.0 - run.step_size * rate) ** np.round(t / run.step_size)
            )
            if run.step_size is None or run.step_size <= 2.0 / (k.mu_f + k.L_f):
                curves["task_grad_bound"][rows] = norm_f[rows.start] * decay
                curves["gap_bound"][rows] = (norm_f[rows.start] * decay) ** 2 / (2.0 * rate)
            continue
        for model in usable:
            found = _gap_and_gradient(model, t, s0, float(norm_F[rows.start]), run.step_size)
            for name, values in zip(("gap_bound", "grad_bound"), found, strict=True):
                curves[name][rows] = np.fmin(curves[name][rows], values)
        if run.step_size is None and math.isfinite(k.sigma):
            arguments = (norm_f[rows.start], k.sigma.value, alpha, k.mu.value, k.L.value)
            curves["task_grad_bound"][rows] = convergence.gradient_curve(t, *arguments)
            curves["printed_bound"][rows] = np.sqrt(printed.printed_curve_b2(t, *arguments))
    return curves


def _gap_and_gradient(
    model: Landscape, t: Array, s0: float, start: float, step_size: float | None
) -> tuple[Array, Array]:
    """Return the bounds of f - f* and of ||grad F|| on a stretch that starts with s0 and ||grad F||."""
    if step_size is None:
        gaps = convergence.gap_curve(t, s0, model) ** 2 / (2.0 * model.mu_f)
    elif step_size * model.L_f > 1.0:
        return np.full(t.size, np.nan), np.full(t.size, np.nan)
    else:
        gaps = np.empty(t.size)
        gaps[0], level, done = model.level(s0), model.level(s0), 0
        for j in range(1, t.size):
            for _ in range(round(t[j] / step_size) - done):
                level = discrete.gap_after_step(model, level, step_size)
            done, gaps[j] = round(t[j] / step_size), level
    gradients = np.empty(t.size)
    gradients[0] = start
    floor = 0.0 if step_size is None else discrete.discrete_level_floor(model, step_size)
    for j in range(1, t.size):
        level = max(float(gaps[j - 1]), floor)
        gradients[j] = model.gradient_bound(model.gradient_radius(float(gaps[j])))
        if not math.isfinite(level):
            continue
        m = model.strong_convexity(level)
        if step_size is None:
            kept = math.exp(min(-m * float(t[j] - t[j - 1]), 700.0))
        elif m > 0 and step_size <= discrete.stable_step_size(model, level):
            kept = (1.0 - step_size * m) ** round((t[j] - t[j - 1]) / step_size)
        else:
            continue
        gradients[j] = min(gradients[j], gradients[j - 1] * kept)
    return gaps, gradients


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
