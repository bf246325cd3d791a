"""Bounds for the relatives of MAML: k inner steps, FO-MAML, Reptile, Moreau envelope, iMAML.

Notation as in ``derived``: a = 1 - alpha L, b = 1 - alpha mu, c0 = (a + b)/2, r = (b - a)/2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point, check_choice, check_count
from maml_ode.tasks.base import TaskFamily
from maml_ode.theory.bounds.products import all_numbers, as_numbers, contraction_range

__all__ = [
    "first_order_shift",
    "fomaml_factors",
    "fomaml_floor",
    "imaml_curvature_lower",
    "inner_steps_curvature",
    "inner_steps_factors",
    "moreau_curvature",
    "shift_multiple",
]

Numbers = npt.ArrayLike


def inner_steps_factors(
    alpha: Numbers, mu: Numbers, L: Numbers, inner_steps: int
) -> tuple[Array, Array, Array]:
    """Return (psi_k, rho_k, b^(2k)) for k inner steps: **lower**, **upper** and **upper** as (psi, rho, b^2).

    grad F_i is a product of 2k factors c0 + r X, ||X|| <= 1, times grad f_i; so it differs from
    c0^(2k) by at most rho_k = b^(2k) - c0^(2k), and psi_k = 2 c0^(2k) - b^(2k) <= lambda_min of its
    symmetric part. For k = 1 the sharp psi and rho of ``derived`` are better.
    """
    a, b = contraction_range(alpha, mu, L)
    inner_steps = check_count("inner_steps", inner_steps)
    center = (0.5 * (a + b)) ** (2 * inner_steps)
    top = b ** (2 * inner_steps)
    return 2.0 * center - top, top - center, top


def inner_steps_curvature(
    gamma: Numbers, alpha: Numbers, mu: Numbers, L: Numbers, kappa: Numbers, inner_steps: int
) -> tuple[Array, Array]:
    """Return a **lower** and an **upper** bound of the spectrum of Hess F for k inner steps, mu >= 0.

    mu a^(2k) - e and L b^(2k) + e, e = alpha kappa b^(2k-1) (1 + b + ... + b^(k-1)) Gamma, Gamma >=
    E||grad f_i||.
    """
    a, b = contraction_range(alpha, mu, L)
    k = check_count("inner_steps", inner_steps)
    powers = sum((b**j for j in range(1, k)), np.ones_like(b))
    noise = (
        as_numbers("alpha", alpha)
        * as_numbers("kappa", kappa)
        * b ** (2 * k - 1)
        * powers
        * as_numbers("gamma", gamma)
    )
    lower: Array = as_numbers("mu", mu) * a ** (2 * k) - noise
    upper: Array = as_numbers("L", L) * b ** (2 * k) + noise
    return lower, upper


def fomaml_factors(alpha: Numbers, mu: Numbers, L: Numbers) -> tuple[Array, Array]:
    """Return (1 - alpha L, alpha (L - mu)/2), **tight**, which replace (psi, rho) for the FO-MAML flow.

    <grad f, E grad f_i(u_i)> >= (1 - alpha L) ||grad f||^2 - alpha (L - mu) sigma ||grad f||/2; no
    kappa is needed.
    """
    a, b = contraction_range(alpha, mu, L)
    return a, 0.5 * (b - a)


def fomaml_floor(alpha: Numbers, mu: Numbers, L: Numbers, mean_query_norm: Numbers) -> Array:
    """Return alpha (L - mu)/2 E||grad f_i(u_i)||, a **tight** bound of ||grad F|| where FO-MAML rests.

    It is 0 if L = mu. There E grad f_i(u_i) = 0, hence grad F = E(A_i - c0) grad f_i(u_i).
    """
    return fomaml_factors(alpha, mu, L)[1] * as_numbers("mean_query_norm", mean_query_norm)


def moreau_curvature(lam: Numbers, mu: Numbers, L: Numbers) -> tuple[Array, Array]:
    """Return mu lam/(mu + lam), L lam/(L + lam): the **tight** range of the Hessian of Moreau envelopes.

    No kappa, sigma or limit on lam: its flow converges linearly from everywhere (mu > 0).
    """
    x, low, high = all_numbers(lam=lam, mu=mu, L=L)
    # an infinite lam, 1/alpha at a tiny alpha, gives mu and L
    return low / (1.0 + low / x), high / (1.0 + high / x)


def imaml_curvature_lower(
    lam: Numbers, mu: Numbers, L: Numbers, kappa: Numbers, mean_prox_gradient_norm: Numbers
) -> Array:
    """Return a **lower** bound of lambda_min(Hess F) for iMAML, F = E f_i(prox_i).

    prox_i = argmin f_i + lam/2 ||. - w||^2. The bound is
    min{q(mu), q(L)} - (kappa/lam) (lam/(lam + mu))^3 E||grad f_i(prox_i)||, q(x) = lam^2 x/(lam +
    x)^2: the obstruction kappa sigma is the same as for MAML.
    """
    x, low, high, k, gamma = all_numbers(
        lam=lam, mu=mu, L=L, kappa=kappa, mean_prox_gradient_norm=mean_prox_gradient_norm
    )
    q_low, q_high = (x * x * v / (x + v) ** 2 for v in (low, high))
    result: Array = np.minimum(q_low, q_high) - k / x * (x / (x + low)) ** 3 * gamma
    return result


def shift_multiple(method: str, inner_steps: int = 1) -> float:
    """Return by which multiple of alpha v a method's stationary point differs from x* = argmin f.

    To first order in alpha: "maml" 2k, "fomaml" k (half-way), "reptile" (k - 1)/2, and with lam =
    1/alpha "moreau" 1, "imaml" 2. v is ``first_order_shift``.
    """
    k = float(inner_steps)
    multiples = {"maml": 2 * k, "fomaml": k, "reptile": 0.5 * (k - 1), "moreau": 1.0, "imaml": 2.0}
    return multiples[check_choice("method", method, multiples)]


def first_order_shift(tasks: TaskFamily, minimizer: npt.ArrayLike) -> Array:
    """Return v = (Hess f)^-1 E[Hess f_i grad f_i] at x* = argmin f, shape (d,).

    To first order in alpha the stationary point of each method is x* + ``shift_multiple`` alpha v.
    """
    x = as_point("minimizer", minimizer, tasks.dim)
    hessians = tasks.hessians(x)
    mean = np.tensordot(tasks.weights, hessians, 1)
    force = tasks.weights @ tasks.hvps(x, tasks.gradients(x))
    return np.asarray(np.linalg.solve(mean, force))
