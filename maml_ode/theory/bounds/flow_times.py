"""Times within which the MAML and BI-MAML flows reach ||grad F|| <= eps.

With s = sqrt(2 mu_f (f - f*)) <= ||grad f||, along w' = -grad F

    s' <= -mu_f psi (s - s_inf)   while s > s_inf = rho sigma/psi,                        (gap)

since (f - f*)' = -<grad f, grad F> <= -||grad f|| (psi ||grad f|| - rho sigma) and ||grad f|| >= s.
Inside V(c) with m(c) > 0, ||grad F|| decays like exp(-m(c) t). These replace Theorems 3.6, 3.7 and
3.10 of Xu, Chen and Karbasi (2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.theory.bounds.logarithms import log_ratio
from maml_ode.theory.bounds.products import as_numbers, rho, zeta_corrected
from maml_ode.theory.bounds.sublevel_sets import Landscape

__all__ = [
    "TimeBound",
    "bimaml_closed_form",
    "bimaml_time",
    "closed_form_alpha",
    "closed_form_time",
    "gap_curve",
    "gradient_curve",
    "time_bound",
    "two_phase_time",
    "unique_minimum_level",
]

_STAGES = 250


@dataclass(frozen=True)
class TimeBound:
    """An upper bound of the time to ||grad F|| <= eps, and how it splits.

    Attributes
    ----------
    total : float
        The bound, in units of t; ``inf`` where the theory gives none.
    approach : float
        Time until the flow is certain to be in V(level).
    level : float
        c of the sublevel set from which ||grad F|| is followed.
    rate : float
        m(level), the rate of decay guaranteed from then on.
    """

    total: float
    approach: float
    level: float
    rate: float


_NONE = TimeBound(math.inf, math.inf, math.nan, math.nan)


def gap_curve(t: npt.ArrayLike, s0: float, landscape: Landscape) -> Array:
    """Return s_inf + (s0 - s_inf)_+ exp(-mu_f psi t), an **upper** bound of sqrt(2 mu_f (f(w(t)) - f*)).

    ``s0`` is sqrt(2 mu_f (f(w0) - f*)) or anything larger, such as ||grad f(w0)||. No smallness of
    alpha beyond psi > 0 is needed (alpha L < .828 at worst); NaN where psi <= 0.
    """
    times = as_numbers("t", t)
    floor = landscape.gap_floor
    if not math.isfinite(floor):
        return np.full(times.shape, np.nan)
    decay = np.exp(-landscape.decay_rate * times)
    result: Array = floor + max(s0 - floor, 0.0) * decay
    return result


def gradient_curve(
    t: npt.ArrayLike, gradient_norm: float, sigma: float, alpha: float, mu: float, L: float
) -> Array:
    """Return x_inf + (||g_0|| - x_inf) exp(-zeta_1 t), an **upper** bound of ||grad f(w(t))||.

    x_inf = L rho sigma/zeta_1. The corrected Lemma 3.8 and Theorem B.2; valid for every ||g_0|| if
    zeta_1 > 0 (alpha below about mu/L^2), NaN otherwise. mu_f and L_f may be given for mu and L
    only if all tasks share them.
    """
    times = as_numbers("t", t)
    rate = float(zeta_corrected(alpha, mu, L))
    if rate <= 0 or not math.isfinite(sigma):
        return np.full(times.shape, np.nan)
    limit = L * float(rho(alpha, mu, L)) * sigma / rate
    result: Array = limit + (gradient_norm - limit) * np.exp(-rate * times)
    return result


def unique_minimum_level(landscape: Landscape) -> float | None:
    """Return c_inf, an **upper** bound of where Crit F lies, if m(c_inf) > 0; None if not.

    If there is one, F is m(c)-strongly convex on the convex set V(c), which contains Crit F, and F
    is coercive for alpha L < 1: F has exactly one critical point, its global minimiser. As m
    decreases in c, c_inf is the level to try. Replaces Theorem 3.10, and does with alpha kappa
    sigma < mu (1 - o(1)) where that theorem asks alpha kappa sigma/mu <= 1/(8 (3 + 2 sqrt(L/mu)))
    <= .025. The order and the constant are sharp: for f_1 = (mu + b) w^2/2 + c w - b sin w, f_2(w)
    = f_1(-w), F''(0) < 0 first at alpha kappa sigma/mu -> 1 as b -> 0.
    """
    if not (landscape.mu > 0 and landscape.alpha * landscape.L < 1.0):
        return None
    level = landscape.level_floor
    if not math.isfinite(level) or landscape.strong_convexity(level) <= 0:
        return None
    return level


def two_phase_time(landscape: Landscape, s0: float, tol: float, level: float) -> float:
    """Return T_1(c) + log+(K_c/eps)/m(c), an **upper** bound of the time, for one level c > c_inf.

    T_1(c) = log+((s0 - s_inf)/(s_c - s_inf))/(mu_f psi), s_c = sqrt(2 mu_f c), K_c >= ||grad F|| on
    V(c).
    """
    rate = landscape.strong_convexity(level)
    floor = landscape.gap_floor
    s_c = math.sqrt(2.0 * landscape.mu_f * level)
    if rate <= 0 or not s_c > floor:
        return math.inf
    approach = log_ratio(s0 - floor, s_c - floor) / landscape.decay_rate if s0 > s_c else 0.0
    return (
        approach + log_ratio(landscape.gradient_bound(landscape.gradient_radius(level)), tol) / rate
    )


def time_bound(
    landscape: Landscape, s0: float, tol: float, gradient_F_norm: float | None = None
) -> TimeBound:
    """Return the best **upper** bound of the time to ||grad F|| <= ``tol`` along the MAML flow.

    It replaces Theorem 3.6. The gap curve is cut into stages c_0 > c_1 > ... -> c_inf. From the
    moment tau_j when the flow is certain to be in V(c_j), ||grad F|| <= K_j exp(-int m(c(tau))
    dtau), where K_j bounds ||grad F|| on V(c_j); the integral is bounded from below by the left
    value of m on each stage, m being decreasing in c. The best j is taken. This contains
    ``two_phase_time`` (one stage) and improves on it, because m rises along the way.

    Parameters
    ----------
    landscape : Landscape
    s0 : float
        sqrt(2 mu_f (f(w0) - f*)), or any upper bound such as ||grad f(w0)||.
    tol : float
        eps > 0, in the units of grad F.
    gradient_F_norm : float, optional
        ||grad F(w0)||, if known: the decay is then followed from t = 0 as well.
    """
    if unique_minimum_level(landscape) is None:
        return _NONE
    floor = landscape.gap_floor
    excess = max(s0 - floor, 0.0)
    if gradient_F_norm is not None and gradient_F_norm <= tol:
        return TimeBound(0.0, 0.0, landscape.level(s0), math.nan)
    # stages in s - s_inf, geometric, down to where a further stage changes m and K by less than
    # 1e-6
    smallest = max(1e-6 * max(floor, min(tol, excess)), 1e3 * np.finfo(float).tiny)
    offsets = np.geomspace(excess, smallest, _STAGES) if excess > smallest else np.array([smallest])
    gaps = [floor + float(x) for x in offsets]
    levels = [landscape.level(s) for s in gaps]
    rates = np.array([landscape.strong_convexity(c) for c in levels])
    # V(c) is entered when s <= s_c; inside, f - f* <= c gives ||grad f|| <= sqrt(2 L_f c), here from s,
    # because c = s^2/(2 mu_f) may be below the smallest float
    widest = math.sqrt(landscape.L_f / landscape.mu_f)
    starts = np.array([landscape.gradient_bound(widest * s) for s in gaps])
    starts[0] = min(starts[0], math.inf if gradient_F_norm is None else gradient_F_norm)
    times = (
        np.log(offsets[0] / offsets) / landscape.decay_rate if excess > smallest else np.zeros(1)
    )
    gains = np.concatenate([[0.0], np.cumsum(rates[:-1] * np.diff(times))])
    best = _NONE
    for j, (start, clock) in enumerate(zip(starts, times, strict=True)):
        need = gains[j] + log_ratio(float(start), tol)
        # the first time at which the accumulated gain reaches the need; gains may fall before they
        # rise
        after = np.flatnonzero(gains[j:] >= need)
        if after.size:
            k = j + int(after[0])
            total = float(times[k])
            if k > j:
                total -= float((gains[k] - need) / rates[k - 1])
        elif rates[-1] > 0:
            total = float(times[-1] + (need - gains[-1]) / rates[-1])
        else:
            continue
        if total < best.total:
            best = TimeBound(total, float(clock), levels[j], float(rates[j]))
    return best


def bimaml_time(
    landscape: Landscape, gradient_norm: float, switch_tol: float, tol: float
) -> TimeBound:
    """Return an **upper** bound of the time of BI-MAML with a one-way switch (replaces Theorem 3.7).

    Phase 1, w' = -grad f, takes log+(||g_0||/eps0)/mu_f at most, because (d/dt) ||grad f|| <= -mu_f
    ||grad f||; phase 2 is ``time_bound`` from a point with ||grad f|| <= min(eps0, ||g_0||).

    The printed Algorithm 2 tests the switch at every time and in the inverted order; this bound is
    for the order of the text with a switch that stays.
    """
    entry = min(gradient_norm, switch_tol)
    first = log_ratio(gradient_norm, switch_tol) / landscape.mu_f
    second = time_bound(landscape, entry, tol, landscape.gradient_bound(entry))
    return TimeBound(first + second.total, first + second.approach, second.level, second.rate)


def closed_form_alpha(
    mu: float, L: float, kappa: float, sigma: float, switch_tol: float | None = None
) -> dict[str, float]:
    """Return 1/(4L), sqrt(mu/L)/(4L), mu/(4 kappa sigma), the terms of a **lower** bound of alpha's limit.

    Under it F has exactly one critical point and is mu/5-strongly convex on V(sigma^2/(2L)), which
    contains it. For BI-MAML sigma becomes max(sigma, sqrt(L/mu) eps0).
    """
    scale = sigma if switch_tol is None else max(sigma, math.sqrt(L / mu) * switch_tol)
    product = 4.0 * kappa * scale
    name = (
        "mu/(4 kappa sigma)" if switch_tol is None else ("mu/(4 kappa max(sigma, sqrt(L/mu) eps0))")
    )
    return {
        "1/(4L)": 0.25 / L,
        "sqrt(mu/L)/(4L)": 0.25 * math.sqrt(mu / L) / L,
        name: mu / product if product > 0 else math.inf,
    }


def closed_form_time(gradient_norm: float, sigma: float, mu: float, L: float, tol: float) -> float:
    """Return (16/(9 mu)) log+((9/5) sqrt(L/mu) ||g_0||/sigma) + (5/mu) log+(1.25 sigma/eps).

    An **upper** bound of the time to ||grad F|| <= eps, and of ``time_bound``.
    Valid for alpha within ``closed_form_alpha`` and sigma > 0 (use ``time_bound`` if sigma = 0).
    """
    if not sigma > 0:
        raise ValueError("sigma must be positive in the closed form; use time_bound for sigma = 0.")
    first = log_ratio(1.8 * math.sqrt(L / mu) * gradient_norm, sigma)
    return 16.0 / (9.0 * mu) * first + 5.0 / mu * log_ratio(1.25 * sigma, tol)


def bimaml_closed_form(
    gradient_norm: float, sigma: float, mu: float, switch_tol: float, tol: float
) -> float:
    """Return (1/mu) log+(||g_0||/eps0) + (5/mu) log+((eps0 + sigma/4)/eps), for alpha as above.

    An **upper** bound of the time of BI-MAML, and of ``bimaml_time``.
    """
    return log_ratio(gradient_norm, switch_tol) / mu + 5.0 / mu * log_ratio(
        switch_tol + 0.25 * sigma, tol
    )
