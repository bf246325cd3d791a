"""The paper's statements as printed, for comparison (Xu, Chen and Karbasi, AISTATS 2021).

Nothing else in this package relies on these. Where a statement is wrong or loses its units, the
docstring says so and names the counterexample; the corrected forms are in ``inequalities``,
``convergence`` and ``limits``. sigma, mu, L, kappa are the constants of Assumptions 3.2 to 3.5.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.theory.bounds.products import all_numbers, as_numbers, of_single_numbers

__all__ = [
    "printed_alpha_3_6",
    "printed_alpha_3_7",
    "printed_alpha_3_9",
    "printed_alpha_3_10",
    "printed_alpha_b2",
    "printed_curve_b2",
    "printed_fallback_time_d5",
    "printed_gradient_of_F_b3",
    "printed_gradient_of_F_d2",
    "printed_gradient_of_f_c1",
    "printed_hessian_range_c2",
    "printed_lemma_3_8",
    "printed_limit_section_3_3",
    "printed_time_3_6",
    "printed_time_3_7",
    "printed_zeta",
]

Numbers = npt.ArrayLike


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.inf


def printed_zeta(alpha: Numbers, mu: Numbers, L: Numbers) -> Array:
    """Return zeta = mu - (5/4) L^2 alpha (L^3 alpha^2 + 2 L^2 alpha + 2) of Lemma 3.8.

    The bracket adds terms of different units (E/W^2 and 1), so limits derived from it change when f
    is rescaled.
    """
    a, low, high = all_numbers(alpha=alpha, mu=mu, L=L)
    result: Array = low - 1.25 * high**2 * a * (high**3 * a**2 + 2.0 * high**2 * a + 2.0)
    return result


def printed_lemma_3_8(
    gradient_norm: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers
) -> Array:
    """Return -zeta ||g||^2 + sigma^2/2, Lemma 3.8's upper bound of (d/dt) ||grad f||^2/2.

    True for alpha < 1/(2L), but loose: the residual does not vanish as alpha -> 0.
    """
    z, s = all_numbers(gradient_norm=gradient_norm, sigma=sigma)
    result: Array = -printed_zeta(alpha, mu, L) * z**2 + 0.5 * s**2
    return result


@of_single_numbers
def printed_alpha_b2(mu: float, L: float) -> dict[str, float]:
    """Return the terms of Theorem B.2's limit on alpha, which is to give zeta > mu/2.

    The third, from (5/2) L^2 alpha < mu/6, should have 1/15 in place of sqrt(1/15): with L = mu = 1
    and alpha = 1/4 below the printed limit .2582, zeta = .199 < mu/2.
    """
    return {
        "cbrt(2/15) mu^(1/3) L^(-5/3)": math.cbrt(2.0 / 15.0 * mu / L / L) / L,
        "sqrt(1/15) mu^(1/2) L^(-2)": math.sqrt(mu / 15.0) / L / L,
        "sqrt(1/15) mu L^(-2)": math.sqrt(1.0 / 15.0) * (mu / L) / L,
    }


@of_single_numbers
def printed_alpha_3_6(mu: float, L: float, kappa: float, sigma: float) -> dict[str, float]:
    """Return the terms of Theorem 3.6's limit on alpha (those of Theorem B.2 included)."""
    root = math.sqrt(mu)
    ks = kappa * sigma
    return {
        "1/(2L)": 0.5 / L,
        "mu^(3/2)/(36 kappa sigma + 28 kappa sqrt(mu) sigma)": _ratio(
            mu * root, 36 * ks + 28 * root * ks
        ),
        "mu^(3/2)/(16 sqrt(L) kappa sigma + 24 kappa sqrt(mu) sigma)": _ratio(
            mu * root, 16 * math.sqrt(L) * ks + 24 * root * ks
        ),
        **printed_alpha_b2(mu, L),
    }


@of_single_numbers
def printed_alpha_3_7(
    mu: float, L: float, kappa: float, sigma: float, switch_tol: float
) -> dict[str, float]:
    """Return the terms of Theorem 3.7's limit on alpha; switch_tol is eps_0."""
    root = math.sqrt(mu)
    ks = kappa * sigma
    return {
        "1/(2L)": 0.5 / L,
        "mu/(36 kappa eps0 + 28 kappa sigma)": _ratio(mu, 36 * kappa * switch_tol + 28 * ks),
        "mu^(3/2)/(16 sqrt(L) kappa sigma + 24 kappa sqrt(mu) sigma)": _ratio(
            mu * root, 16 * math.sqrt(L) * ks + 24 * root * ks
        ),
    }


@of_single_numbers
def printed_alpha_3_9(
    mu: float, L: float, kappa: float, sigma: float, K: float
) -> dict[str, float]:
    """Return the terms of Theorem 3.9's limit on alpha for w in U(K) = {||grad F|| <= K}.

    Its proof needs 1/(4L), the range of Lemma C.1, in place of 1/(2L).
    """
    return {
        "1/(2L)": 0.5 / L,
        "mu/(8 kappa (2K + sigma))": _ratio(mu, 8 * kappa * (2 * K + sigma)),
    }


@of_single_numbers
def printed_alpha_3_10(
    mu: float, L: float, kappa: float, sigma: float, K: float | None = None
) -> dict[str, float]:
    """Return the terms of Theorem 3.10's limit on alpha; K defaults to (1 + sqrt(L/mu)) sigma."""
    radius = (1.0 + math.sqrt(L / mu)) * sigma if K is None else K
    return {
        "1/(4L)": 0.25 / L,
        "mu/(8 kappa (2K + sigma))": _ratio(mu, 8 * kappa * (2 * radius + sigma)),
    }


def printed_curve_b2(
    t: Numbers, gradient_norm: float, sigma: float, alpha: float, mu: float, L: float
) -> Array:
    """Return y(t) of Theorem B.2, its bound of ||grad f(w(t))||^2: limit gamma/zeta, rate zeta.

    The rate should be 2 zeta (d/dt ||g||^2 is twice what Lemma 3.8 bounds), with the same limit.
    The slower curve is therefore valid if y(0) >= gamma/zeta and unproved below, where the printed
    solution does not exist; this function continues it by the same formula. NaN where zeta <= 0.
    """
    zeta = float(printed_zeta(alpha, mu, L))
    times, norm, deviation = all_numbers(t=t, gradient_norm=gradient_norm, sigma=sigma)
    if zeta <= 0:
        return np.full(times.shape, np.nan)
    limit = 0.5 * deviation**2 / zeta
    result: Array = limit + (norm**2 - limit) * np.exp(-zeta * times)
    return result


@of_single_numbers
def printed_limit_section_3_3(sigma: float) -> float:
    """Return sigma^2/4, Section 3.3's bound of the limit sigma^2/(2 zeta) of ||grad f||^2.

    Wrong: zeta <= mu, so the limit is at least sigma^2/(2 mu); with mu = 1 it is at least
    sigma^2/2.
    """
    return 0.25 * sigma**2


def printed_gradient_of_F_b3(
    gradient_norm: Numbers, sigma: Numbers, alpha: Numbers, L: Numbers
) -> Array:
    """Return (1 + 2x + x^2) ||g|| + (2x + x^2) sigma, x = alpha L: Lemma B.3. True, loose."""
    z, s = all_numbers(gradient_norm=gradient_norm, sigma=sigma)
    x = as_numbers("alpha", alpha) * as_numbers("L", L)
    result: Array = (1 + 2 * x + x * x) * z + (2 * x + x * x) * s
    return result


def printed_gradient_of_F_d2(gap: Numbers, sigma: Numbers, L: Numbers) -> Array:
    """Return sigma + sqrt(2 L (f - f*)), Lemma D.2's bound of ||grad F||.

    Printed for every alpha; it needs alpha <= 2/L: f = w^2/2 and alpha = 3 give ||grad F|| = 4 |w|.
    """
    return as_numbers("sigma", sigma) + np.sqrt(2.0 * as_numbers("L", L) * as_numbers("gap", gap))


def printed_gradient_of_f_c1(gradient_F_norm: Numbers, sigma: Numbers) -> Array:
    """Return 2K + sigma, Lemma C.1's bound of ||grad f|| where ||grad F|| <= K.

    True for alpha <= (1 - 1/sqrt 2)/L = .2929/L (printed range 1/(4L)), but used up to 1/(2L) in
    Theorems 3.6, 3.7 and 3.9: f = w^2/2 with alpha = 1/2 has ||grad f|| = 4 ||grad F||.
    """
    result: Array = 2.0 * as_numbers("gradient_F_norm", gradient_F_norm) + as_numbers(
        "sigma", sigma
    )
    return result


@of_single_numbers
def printed_hessian_range_c2(mu: float, L: float) -> tuple[float, float]:
    """Return (mu/8, 9L/8), the range of Hess F in Lemma C.2 and Theorem 3.9.

    Lemma C.2 claims it where ||grad f|| <= G and alpha <= min{1/(2L), mu/(8 kappa G)}, but treats
    the MAML loss of the mean task. With f_1 = w^2 + 7w - sin w, f_2(w) = f_1(-w), alpha = 1/6: grad
    f(0) = 0 and F''(0) = -.228; with f_1 = w^2 + 40w + sin w, f_2(w) = f_1(-w), alpha = 1/6: F''(0)
    = 5.65 > 9L/8.
    """
    return mu / 8.0, 9.0 * L / 8.0


@of_single_numbers
def printed_time_3_6(
    gradient_norm: float, sigma: float, alpha: float, mu: float, L: float, tol: float
) -> float:
    """Return the explicit time of Theorem 3.6's proof, the O[.] dropped, with iota = zeta - mu/2.

    (2/mu) log((mu^2 ||g_0||^2 - mu sigma^2/2)/(iota sigma^2)) if ||g_0||^2 > sigma^2/mu, plus
    (16/mu) log((5 + 9/sqrt mu) sigma/(4 eps)). NaN where iota <= 0 (then the proof's t_1 does not
    exist).
    """
    iota = float(printed_zeta(alpha, mu, L)) - 0.5 * mu
    if sigma == 0 or iota <= 0:
        return math.nan
    last = math.log((5.0 + 9.0 / math.sqrt(mu)) * sigma) - math.log(4.0) - math.log(tol)
    second = 16.0 / mu * last
    ratio = gradient_norm / sigma  # of squares that may leave the floats
    if ratio <= 1.0 / math.sqrt(mu):
        return second
    first = mu * ratio * (mu * ratio) - 0.5 * mu
    return 2.0 / mu * (math.log(first) - math.log(iota)) + second


@of_single_numbers
def printed_time_3_7(
    gradient_norm: float, sigma: float, mu: float, switch_tol: float, tol: float
) -> float:
    """Return the explicit time of Theorem 3.7's proof, the O[.] dropped.

    (2/mu) log(||g_0||^2/eps0^2) + (16/mu) log((9 eps0 + 5 sigma)/(4 eps)). It tends to minus
    infinity as g_0 -> 0 (start at the minimiser of f, which need not be stationary for F).
    """
    first = (
        4.0 / mu * (math.log(gradient_norm) - math.log(switch_tol))
        if gradient_norm > 0
        else -math.inf
    )
    last = math.log(9.0 * switch_tol + 5.0 * sigma) - math.log(4.0) - math.log(tol)
    return first + 16.0 / mu * last


def printed_fallback_time_d5(initial_gap: float, K: float) -> float:
    """Return sqrt(E(0)/K), after which Lemma D.5's proof has min ||grad F|| <= K; E = F - inf F.

    It must be E(0)/K^2: f = w^2/2, alpha = .1, K = .1, w(0) = .2/.81 gives ||grad F|| = .134 at
    that time.
    """
    return math.sqrt(initial_gap / K)
