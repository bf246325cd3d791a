"""Gradient descent on F: steps, iterations, and its distance from the flow.

The paper proves nothing for the discrete algorithms. With step_size beta <= 1/L_f and z = ||grad
f(w)||,

    f(w - beta grad F) - f* <= (f - f*) - beta (P z^2 - Q z - R),
    P = psi - L_f beta b^4/2,   Q = rho sigma (1 + L_f beta b^2),   R = L_f beta (rho sigma)^2/2,

from the descent lemma for f and ||grad F|| <= b^2 z + rho sigma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from maml_ode.theory.bounds.logarithms import log_ratio, whole_steps
from maml_ode.theory.bounds.sublevel_sets import Landscape

__all__ = [
    "IterationBound",
    "descent_coefficients",
    "discrete_level_floor",
    "euler_error",
    "euler_error_supremum",
    "gap_after_step",
    "iteration_bound",
    "phase_one_iterations",
    "stable_step_size",
]

_STAGES = 200


@dataclass(frozen=True)
class IterationBound:
    """An upper bound of the number of gradient steps to ||grad F|| <= eps.

    Attributes
    ----------
    total : float
        A whole number, or ``inf`` where the theory gives none.
    approach : float
        Steps until the iterates are certain to be in V(level).
    level : float
    rate : float
        m(level): from then on ||grad F|| falls by 1 - step_size rate at least.
    """

    total: float
    approach: float
    level: float
    rate: float


def _effective(landscape: Landscape) -> tuple[float, float, float]:
    """Return psi, b^2 and rho sigma with an affine noise model absorbed (b^2 + rho nu for b^2)."""
    return (
        landscape.psi,
        landscape.b**2 + landscape.rho * landscape.nu,
        landscape.rho * landscape.sigma,
    )


def descent_coefficients(landscape: Landscape, step_size: float) -> tuple[float, float, float]:
    """Return P, Q, R of the module's inequality, a **lower** bound of the descent.

    Raises
    ------
    ValueError
        If step_size is not in (0, 1/L_f].
    """
    if not 0 < step_size * landscape.L_f <= 1 + 1e-12:
        raise ValueError(
            f"step_size must lie in (0, 1/L_f] = (0, {1 / landscape.L_f:.6g}], not {step_size:g}."
        )
    psi, b2, noise = _effective(landscape)
    x = landscape.L_f * step_size
    return psi - 0.5 * x * b2 * b2, noise * (1.0 + x * b2), 0.5 * x * noise**2


def gap_after_step(landscape: Landscape, gap: float, step_size: float) -> float:
    """Return an **upper** bound of f - f* after one step from f - f* <= ``gap``.

    With s = sqrt(2 mu_f gap): gap - beta (P s^2 - Q s - R) if s >= Q/(2P), where P z^2 - Q z
    increases, else gap + beta (Q^2/(4P) + R). It increases with ``gap`` because 2 beta mu_f P <= 1,
    so it may be iterated. ``inf`` if P <= 0.
    """
    P, Q, R = descent_coefficients(landscape, step_size)
    if P <= 0:
        return math.inf
    s = max(math.sqrt(2.0 * landscape.mu_f * gap), Q / (2.0 * P))
    return gap - step_size * (P * s * s - Q * s - R)


def discrete_level_floor(landscape: Landscape, step_size: float) -> float:
    """Return c_disc, **upper**: V(c) is invariant under the step for c >= c_disc (-> c_inf as step_size -> 0).

    c_disc = x^2/(2 mu_f) + beta (Q^2/(4P) + R) with x = (Q + sqrt(Q^2 + 4 P R))/(2P); ``inf`` if P
    <= 0.
    """
    P, Q, R = descent_coefficients(landscape, step_size)
    if P <= 0:
        return math.inf
    x = (Q + math.sqrt(Q * Q + 4.0 * P * R)) / (2.0 * P)
    return landscape.level(x) + step_size * (Q * Q / (4.0 * P) + R)


def stable_step_size(landscape: Landscape, level: float) -> float:
    """Return 2/(m(c) + M(c)), **lower**: up to it a step on V(c) contracts by 1 - step_size m(c)."""
    return 2.0 / (landscape.strong_convexity(level) + landscape.smoothness(level))


def phase_one_iterations(
    landscape: Landscape, gradient_norm: float, switch_tol: float, step_size: float
) -> float:
    """Return an **upper** bound of the steps on f until ||grad f|| <= eps0: factor 1 - step_size mu_f each.

    ``inf`` if step_size > 2/(L_f + mu_f).
    """
    if step_size > 2.0 / (landscape.L_f + landscape.mu_f):
        return math.inf
    return _steps(log_ratio(gradient_norm, switch_tol), step_size * landscape.mu_f)


def _steps(log_total: float, gain: float) -> float:
    """Return the whole number n with (1 - gain)^n <= exp(-log_total), gain > 0."""
    if gain >= 1.0:
        return 0.0 if log_total <= 0 else 1.0
    return whole_steps(log_total, -math.log1p(-gain))


def _approach(landscape: Landscape, gap: float, level: float, step_size: float) -> float:
    """Return the number of steps from V(gap) into V(level), level > c_disc.

    On a stage s_j >= s >= s_j+1 the gap falls at least by the factor q = 1 - 2 mu_f beta P (1 -
    x/s_j+1), as P s^2 - Q s - R = P (s - x)(s + x') >= P s^2 (1 - x/s). The number of steps is at
    most the sum of the stages' log ratios over -log q, rounded up once: a step that crosses into
    the next stage, where the rate is lower, uses up at least 1 of that sum.
    """
    if gap <= level:
        return 0.0
    P, Q, R = descent_coefficients(landscape, step_size)
    x = (Q + math.sqrt(Q * Q + 4.0 * P * R)) / (2.0 * P)
    gaps = np.geomspace(gap, level, _STAGES)
    ends = np.sqrt(2.0 * landscape.mu_f * gaps[1:])
    gains = 2.0 * landscape.mu_f * step_size * P * (1.0 - x / ends)
    rates = -np.log1p(-np.minimum(gains, 1.0 - np.finfo(float).eps))
    return whole_steps(float((np.log(gaps[:-1] / gaps[1:]) / rates).sum()), 1.0)


def iteration_bound(
    landscape: Landscape, s0: float, step_size: float, tol: float
) -> IterationBound:
    """Return an **upper** bound of the steps of gradient descent on F to ||grad F|| <= ``tol``.

    In V(c), c >= c_disc, m(c) > 0 and step_size <= 2/(m(c) + M(c)): grad F(w_k+1) = (I - step_size
    H) grad F(w_k), H the mean Hessian on the segment, so ||grad F|| contracts by 1 - step_size
    m(c). The best c of a geometric grid is taken.

    Parameters
    ----------
    landscape : Landscape
    s0 : float
        sqrt(2 mu_f (f(w0) - f*)) or an upper bound such as ||grad f(w0)||.
    step_size : float
        beta <= 1/L_f.
    tol : float
        eps > 0.
    """
    none = IterationBound(math.inf, math.inf, math.nan, math.nan)
    floor = discrete_level_floor(landscape, step_size)
    start = landscape.level(s0)
    if not (landscape.mu > 0 and math.isfinite(floor)):
        return none
    # tol * tol may be below the smallest float, where start is not
    lowest = 1e-12 * min(start, max(tol * tol / landscape.L_f, 1e12 * np.finfo(float).tiny))
    bottom = max(floor * (1.0 + 1e-6), lowest)
    if bottom == 0.0:
        return IterationBound(0.0, 0.0, 0.0, landscape.strong_convexity(0.0))
    best = none
    for level in np.geomspace(bottom, max(start, bottom * (1 + 1e-9)), 120):
        m = landscape.strong_convexity(float(level))
        if m <= 0 or step_size > stable_step_size(landscape, float(level)):
            continue
        approach = _approach(landscape, start, float(level), step_size)
        bound = landscape.gradient_bound(landscape.gradient_radius(float(level)))
        total = approach + _steps(log_ratio(bound, tol), step_size * m)
        if total < best.total:
            best = IterationBound(total, approach, float(level), m)
    return best


def euler_error(
    t: float, step_size: float, rate: float, smoothness: float, gradient_F_norm: float
) -> float:
    """Return (beta/2) M K t exp(-m (t - beta)), an **upper** bound of ||w_k - w(t)||, t = k beta.

    For w0 in V(c), c >= c_disc, m = m(c) > 0, M = M(c), beta <= min(2/(m + M), 1/M), K = ||grad
    F(w0)||: the local error at t_j is at most beta^2 M K exp(-m t_j)/2, since ||w''|| = ||Hess F
    grad F||, and steps contract errors by 1 - beta m.
    """
    return 0.5 * step_size * smoothness * gradient_F_norm * t * math.exp(-rate * (t - step_size))


def euler_error_supremum(
    step_size: float, rate: float, smoothness: float, gradient_F_norm: float
) -> float:
    """Return beta M K exp(m beta)/(2 e m), the supremum of ``euler_error`` over t, **tight** for it."""
    return 0.5 * step_size * smoothness * gradient_F_norm * math.exp(rate * step_size - 1.0) / rate
