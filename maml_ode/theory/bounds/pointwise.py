"""Pointwise inequalities between f and F: gradient transfer, descent, Hessian bounds.

Standing assumptions: mu I <= Hess f_i <= L I at w and on the segments [w, w - alpha grad f_i(w)],
alpha <= 1/L, and for the Hessian bounds a kappa-Lipschitz Hess f_i. g = grad f(w), sd(w)^2 = sum
p_i ||grad f_i(w) - g||^2. Everywhere sigma may be sd(w) itself or any upper bound of it.

All functions broadcast over arrays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.theory.bounds.products import as_numbers, contraction_range, h_max, h_min, psi, rho

__all__ = [
    "curvature_lower",
    "curvature_upper",
    "descent_lower",
    "gradient_of_F_upper",
    "gradient_of_f_upper",
    "mean_gradient_norm_upper",
    "task_curvature_lower",
    "task_curvature_upper",
]

Numbers = npt.ArrayLike


def _third_derivative_term(gamma: Numbers, alpha: Numbers, kappa: Numbers, b: Array) -> Array:
    """Return alpha kappa b Gamma, infinite where kappa is (a Hessian jumps) and alpha > 0."""
    bend, step = as_numbers("kappa", kappa), as_numbers("alpha", alpha)
    finite = np.isfinite(bend)
    term = step * np.where(finite, bend, 0.0) * b * as_numbers("gamma", gamma)
    return np.where(finite | (step == 0), term, np.inf)


def mean_gradient_norm_upper(gradient_norm: Numbers, sigma: Numbers) -> Array:
    """Return Gamma = sqrt(||g||^2 + sigma^2), an **upper** bound of E||g_i||, **tight** for (E||g_i||^2)^(1/2).

    The paper uses ||g|| + sigma.
    """
    return np.hypot(as_numbers("gradient_norm", gradient_norm), as_numbers("sigma", sigma))


def gradient_of_F_upper(
    gradient_norm: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers
) -> Array:
    """Return an **upper** bound of ||grad F||, given ||grad f|| (replaces Lemmas B.3 and D.2).

    ||grad F|| <= min{ b^2 ||g|| + rho sigma, b^2 sqrt(||g||^2 + sigma^2) }, b = 1 - alpha mu.

    Proof: grad F = E[A A'] g + E[(A A' - c I)(g_i - g)] for any c, since E(g_i - g) = 0.
    """
    _, b = contraction_range(alpha, mu, L)
    z, s = as_numbers("gradient_norm", gradient_norm), as_numbers("sigma", sigma)
    return np.minimum(b * b * z + rho(alpha, mu, L) * s, b * b * np.hypot(z, s))


def gradient_of_f_upper(
    gradient_F_norm: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers
) -> Array:
    """Return an **upper** bound of ||grad f||, given ||grad F|| (replaces Lemma C.1).

    ||grad f|| <= (||grad F|| + rho sigma)/psi; ``inf`` where psi <= 0.
    """
    factor = psi(alpha, mu, L)
    total = as_numbers("gradient_F_norm", gradient_F_norm) + rho(alpha, mu, L) * as_numbers(
        "sigma", sigma
    )
    result: Array = np.where(factor > 0, total / np.where(factor > 0, factor, 1.0), np.inf)[()]
    return result


def descent_lower(
    gradient_norm: Numbers, sigma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers
) -> Array:
    """Return psi ||g||^2 - rho sigma ||g||, a **lower** bound of <grad f, grad F>.

    It makes f a Lyapunov function of the MAML flow outside a sublevel set.
    """
    z = as_numbers("gradient_norm", gradient_norm)
    return psi(alpha, mu, L) * z * z - rho(alpha, mu, L) * as_numbers("sigma", sigma) * z


def curvature_lower(
    gamma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers, kappa: Numbers
) -> Array:
    """Return m, a **lower** bound of lambda_min(Hess F) (replaces Lemma C.2 and Theorem 3.9).

    m = max{ mu (1 - alpha L)^2 - alpha kappa b Gamma, h_min - alpha kappa b (2 - alpha mu) Gamma }
    with b = 1 - alpha mu and Gamma >= E||grad f_i||. For mu < 0, mu b^2 takes the place of mu (1 -
    alpha L)^2.

    Proof: Hess F_i = A_i Hess f_i(w_i^+) A_i - alpha D^3 f_i[grad f_i(w_i^+)], and
    ||grad f_i(w_i^+)|| <= b ||grad f_i||. First form: A H^+ A >= mu A^2. Second: ||H^+ - H|| <=
    alpha kappa ||grad f_i||, and A H A has the spectrum h(lambda(H)). If f_i is not C^3 the
    statement holds almost everywhere and for differences of grad F.
    """
    a, b = contraction_range(alpha, mu, L)
    noise = _third_derivative_term(gamma, alpha, kappa, b)
    low = as_numbers("mu", mu)
    convex = np.minimum(low * (a * a), low * (b * b))  # as 0 <= a <= b
    return np.maximum(convex - noise, h_min(alpha, mu, L) - (1.0 + b) * noise)


def curvature_upper(
    gamma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers, kappa: Numbers
) -> Array:
    """Return M, an **upper** bound of lambda_max(Hess F), L >= 0 (replaces Lemma C.2 and Theorem 3.9).

    M = min{ L b^2 + alpha kappa b Gamma, h_max + alpha kappa b (2 - alpha mu) Gamma }. F is not
    globally smooth if kappa > 0: M grows with Gamma.
    """
    _, b = contraction_range(alpha, mu, L)
    noise = _third_derivative_term(gamma, alpha, kappa, b)
    return np.minimum(as_numbers("L", L) * b * b + noise, h_max(alpha, mu, L) + (1.0 + b) * noise)


def task_curvature_lower(
    gradient_norms: Numbers,
    weights: Numbers,
    alpha: float,
    mu_i: Numbers,
    L_i: Numbers,
    kappa_i: Numbers,
) -> Array:
    """Return the per-task **lower** bound of lambda_min(Hess F) from ||grad f_i||, last axis the task.

    sum p_i max{ mu_i a_i^2 - alpha kappa_i b_i ||g_i||, h_min,i - alpha kappa_i b_i (1 + b_i)
    ||g_i|| }.
    """
    lower = curvature_lower(gradient_norms, alpha, mu_i, L_i, kappa_i)
    result: Array = (as_numbers("weights", weights) * lower).sum(axis=-1)
    return result


def task_curvature_upper(
    gradient_norms: Numbers,
    weights: Numbers,
    alpha: float,
    mu_i: Numbers,
    L_i: Numbers,
    kappa_i: Numbers,
) -> Array:
    """Return the per-task **upper** bound of lambda_max(Hess F) from ||grad f_i||, last axis the task."""
    upper = curvature_upper(gradient_norms, alpha, mu_i, L_i, kappa_i)
    result: Array = (as_numbers("weights", weights) * upper).sum(axis=-1)
    return result
