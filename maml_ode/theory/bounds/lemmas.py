"""Lemmas B.1 and D.1 and Corollaries D.3 and D.4, as printed and sharpened.

U(K) = {||grad F|| <= K} and V(c) = {f - min f <= c}. Standing assumptions are those of ``inequalities``: mu I <=
Hess f_i <= L I with mu > 0, alpha <= 1/L, and sigma^2 >= sum p_i ||grad f_i - grad f||^2 where the statement is
used. b = 1 - alpha mu; psi, rho and the norm of I - A A' are those of ``derived``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.theory.bounds.pointwise import gradient_of_F_upper, gradient_of_f_upper
from maml_ode.theory.bounds.products import (
    all_numbers,
    as_numbers,
    contraction_range,
    defect_norm,
    psi,
    rho,
)

__all__ = [
    "coupling_upper",
    "gap_of_gradient",
    "gradient_of_gap",
    "nested_from_gradient",
    "nested_within_gradient",
    "printed_coupling_b1",
    "printed_gap_of_gradient_d1",
    "printed_nested_d3",
    "printed_nested_d4",
]

Numbers = npt.ArrayLike


def coupling_upper(
    gradient_norm: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers
) -> Array:
    """Return an **upper** bound of grad f' Hess f E[B_i grad f_i], B_i = I - A_i A'_i (replaces Lemma B.1).

    L ||g|| (||I - A A'|| ||g|| + rho sigma): of one unit, and it vanishes with alpha.

    Proof: E[B_i g_i] = E[B_i] g - E[(A_i A'_i - c I)(g_i - g)] for any c, since E(g_i - g) = 0.
    """
    z, s, top = all_numbers(gradient_norm=gradient_norm, sigma=sigma, L=L)
    defect, spread = defect_norm(alpha, mu, L), rho(alpha, mu, L)
    result: Array = top * z * (defect * z + spread * s)
    return result


def printed_coupling_b1(
    gradient_norm: Numbers, sigma: Numbers, alpha: Numbers, L: Numbers
) -> Array:
    """Return (5/4) L^2 alpha (L^3 alpha^2 + 2 L^2 alpha + 2) ||g||^2 + sigma^2/2, Lemma B.1's bound.

    True for alpha < 1/(2L) once the Hessian is averaged over the inner step and Assumption 3.4, which the proof
    uses, is added to the hypotheses. The bracket adds numbers of different units, and the second term
    does not vanish with alpha.
    """
    z, s, a, top = all_numbers(gradient_norm=gradient_norm, sigma=sigma, alpha=alpha, L=L)
    result: Array = 1.25 * top**2 * a * (top**3 * a**2 + 2.0 * top**2 * a + 2.0) * z**2 + 0.5 * s**2
    return result


def gap_of_gradient(
    gradient_F_norm: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers
) -> Array:
    """Return c with U(K) inside V(c): an **upper** bound of f - min f where ||grad F|| <= K (Lemma D.1).

    c = ((K + rho sigma)/psi)^2/(2 mu); infinite where psi <= 0 or mu <= 0. **Tight** for one task
    ``f = mu |w|^2/2``.

    Proof: ||grad f|| <= (K + rho sigma)/psi, and f - min f <= ||grad f||^2/(2 mu).
    """
    low = as_numbers("mu", mu)
    square = gradient_of_f_upper(gradient_F_norm, sigma, alpha, mu, L) ** 2
    result: Array = np.where(low > 0, square / (2.0 * np.where(low > 0, low, 1.0)), np.inf)[()]
    return result


def printed_gap_of_gradient_d1(gradient_F_norm: Numbers, sigma: Numbers, mu: Numbers) -> Array:
    """Return (2K + sigma)^2/(2 mu), Lemma D.1: U(K) inside V of it. True for alpha < 1/(4L), as printed."""
    K, s, low = all_numbers(gradient_F_norm=gradient_F_norm, sigma=sigma, mu=mu)
    result: Array = (2.0 * K + s) ** 2 / (2.0 * low)
    return result


def gradient_of_gap(gap: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers) -> Array:
    """Return K with V(c) inside U(K): an **upper** bound of ||grad F|| where f - min f <= c (replaces Lemma D.2).

    min{b^2 z + rho sigma, b^2 sqrt(z^2 + sigma^2)} with z = sqrt(2 L c) >= ||grad f||.
    """
    c, top = all_numbers(gap=gap, L=L)
    return gradient_of_F_upper(np.sqrt(2.0 * top * c), sigma, alpha, mu, L)


def nested_from_gradient(
    gradient_F_norm: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers
) -> tuple[Array, Array]:
    """Return c and K' with Crit F inside U(K) inside V(c) inside U(K') (Corollary D.3, sharpened)."""
    c = gap_of_gradient(gradient_F_norm, sigma, alpha, mu, L)
    return c, gradient_of_gap(c, sigma, alpha, mu, L)


def printed_nested_d3(
    gradient_F_norm: Numbers, sigma: Numbers, mu: Numbers, L: Numbers
) -> tuple[Array, Array]:
    """Return (2K + sigma)^2/(2 mu) and sigma + sqrt(L/mu) (2K + sigma), c and K' of Corollary D.3.

    True for alpha < 1/(4L), as printed.
    """
    K, s, low, top = all_numbers(gradient_F_norm=gradient_F_norm, sigma=sigma, mu=mu, L=L)
    outer: Array = s + np.sqrt(top / low) * (2.0 * K + s)
    return printed_gap_of_gradient_d1(K, s, low), outer


def nested_within_gradient(
    gradient_F_norm: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers
) -> tuple[Array, Array]:
    """Return K and c with Crit F inside U(K) inside V(c) inside U(K'), given K' (Corollary D.4, sharpened).

    The largest that `nested_from_gradient` sends to K': 2 L c = z^2 with z the largest of (K' - rho sigma)/b^2 and
    sqrt((K'/b^2)^2 - sigma^2), and K = psi sqrt(2 mu c) - rho sigma. NaN where K' is so small that K < 0.
    """
    outer, s, low, top = all_numbers(gradient_F_norm=gradient_F_norm, sigma=sigma, mu=mu, L=L)
    _, b = contraction_range(alpha, mu, L)
    spread = rho(alpha, mu, L) * s
    reach = np.sqrt(np.maximum((outer / b**2) ** 2 - s**2, 0.0))
    z = np.maximum((outer - spread) / b**2, reach)
    inner = psi(alpha, mu, L) * np.sqrt(low / top) * z - spread
    inside = (inner >= 0.0) & (z >= 0.0)
    return np.where(inside, inner, np.nan)[()], np.where(inside, z**2 / (2.0 * top), np.nan)[()]


def printed_nested_d4(
    gradient_F_norm: Numbers, sigma: Numbers, mu: Numbers, L: Numbers
) -> tuple[Array, Array]:
    """Return (K' - sigma (r + 1))/(2 r) and (K' - sigma)^2/(2 L), r = sqrt(L/mu), K and c of Corollary D.4.

    For K' > (r + 1) sigma and alpha < 1/(4L), true as printed; NaN for smaller K'.
    """
    outer, s, low, top = all_numbers(gradient_F_norm=gradient_F_norm, sigma=sigma, mu=mu, L=L)
    r = np.sqrt(top / low)
    inner = (outer - s * (r + 1.0)) / (2.0 * r)
    inside = inner > 0.0
    gap = (outer - s) ** 2 / (2.0 * top)
    return np.where(inside, inner, np.nan)[()], np.where(inside, gap, np.nan)[()]
