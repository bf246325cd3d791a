"""Upper bounds of f - f*, ||grad f|| and ||grad F|| at the times of a run.

Each stretch of a run follows one gradient and starts its curves afresh; in between, ||grad F|| is
bounded both by what the gap curve allows and by its own decay at the rate m(c) of the sublevel set
then certain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from maml_ode._validation import Array
from maml_ode.theory.bounds import descent_steps, flow_times, printed
from maml_ode.theory.bounds.quadratic_exact import QuadraticFacts
from maml_ode.theory.bounds.sublevel_sets import Landscape, landscapes
from maml_ode.theory.certificates.followed import Followed
from maml_ode.theory.family_constants.model import Constants
from maml_ode.trajectory import Trajectory

__all__ = ["bounding_curves"]


def bounding_curves(
    run: Trajectory,
    followed: Mapping[int, Followed],
    k: Constants,
    alpha: float,
    facts: QuadraticFacts | None,
    gap: Array,
    norm_f: Array,
    norm_F: Array,
) -> dict[str, Array]:
    """Return the bounds of f - f*, ||grad f|| and ||grad F|| at the times of ``run``.

    Parameters
    ----------
    run : Trajectory
    followed : mapping of int to "f", "F" or None
        The gradient that each phase follows; where it is neither, all curves are NaN.
    k : Constants
    alpha : float
    facts : QuadraticFacts or None
        Of F, if it is quadratic with a unique minimum: its decay is then exact, for any alpha.
    gap, norm_f, norm_F : ndarray of shape (n,)
        f - f*, ||grad f|| and ||grad F|| along the run; each stretch starts from its first values.

    Returns
    -------
    dict of str to ndarray of shape (n,)
        "gap_bound", "task_grad_bound", "grad_bound", and "printed_bound", the root of Theorem B.2's
        y(t).
    """
    n = run.t.size
    names = ("gap_bound", "task_grad_bound", "grad_bound", "printed_bound")
    curves = {name: np.full(n, np.nan) for name in names}
    standing = k.mu > 0 and alpha * k.L < 1.0
    models = landscapes(k, alpha) if standing and math.isfinite(k.kappa) else []
    usable = [model for model in models if math.isfinite(model.gap_floor)]
    cuts = np.flatnonzero(np.diff(run.phase)) + 1
    for start, stop in zip([0, *cuts], [*cuts, n], strict=True):
        rows = slice(int(start), int(stop))
        t = run.t[rows] - run.t[rows.start]
        s0 = norm_f[rows.start]
        if math.isfinite(gap[rows.start]) and k.mu_f > 0:
            s0 = min(s0, math.sqrt(2.0 * k.mu_f * max(gap[rows.start], 0.0)) + 1e-12 * (1 + s0))
        kind = followed[int(run.phase[rows.start])]
        if kind is None:
            continue
        if kind == "f":
            rate = float(k.mu_f)
            if not rate > 0:
                continue
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
        if facts is not None:
            curves["grad_bound"][rows] = norm_F[rows.start] * _exact_decay(facts, t, run.step_size)
        if standing and run.step_size is None and math.isfinite(k.sigma):
            arguments = (norm_f[rows.start], k.sigma.value, alpha, k.mu.value, k.L.value)
            curves["task_grad_bound"][rows] = flow_times.gradient_curve(t, *arguments)
            curves["printed_bound"][rows] = np.sqrt(printed.printed_curve_b2(t, *arguments))
    return curves


def _exact_decay(facts: QuadraticFacts, t: Array, step_size: float | None) -> Array:
    """Return the norm of exp(-G t), or of (I - step_size G)^k."""
    if step_size is None:
        return np.exp(-facts.rate * t)
    factor = max(abs(1.0 - step_size * facts.rate), abs(1.0 - step_size * facts.smoothness))
    return np.asarray(factor ** np.round(t / step_size))


def _gap_and_gradient(
    model: Landscape, t: Array, s0: float, start: float, step_size: float | None
) -> tuple[Array, Array]:
    """Return the bounds of f - f* and of ||grad F|| on a stretch that starts with s0 and ||grad F||."""
    if step_size is None:
        gaps = flow_times.gap_curve(t, s0, model) ** 2 / (2.0 * model.mu_f)
    elif step_size * model.L_f > 1.0:
        return np.full(t.size, np.nan), np.full(t.size, np.nan)
    else:
        gaps = np.empty(t.size)
        gaps[0], level, done = model.level(s0), model.level(s0), 0
        for j in range(1, t.size):
            for _ in range(round(t[j] / step_size) - done):
                level = descent_steps.gap_after_step(model, level, step_size)
            done, gaps[j] = round(t[j] / step_size), level
    gradients = np.empty(t.size)
    gradients[0] = start
    floor = 0.0 if step_size is None else descent_steps.discrete_level_floor(model, step_size)
    for j in range(1, t.size):
        level = max(float(gaps[j - 1]), floor)
        gradients[j] = model.gradient_bound(model.gradient_radius(float(gaps[j])))
        if not math.isfinite(level):
            continue
        m = model.strong_convexity(level)
        if step_size is None:
            kept = math.exp(min(-m * float(t[j] - t[j - 1]), 700.0))
        elif m > 0 and step_size <= descent_steps.stable_step_size(model, level):
            kept = (1.0 - step_size * m) ** round((t[j] - t[j - 1]) / step_size)
        else:
            continue
        gradients[j] = min(gradients[j], gradients[j - 1] * kept)
    return gaps, gradients
