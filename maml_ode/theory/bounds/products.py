r"""Constants derived from alpha, mu and L alone: sharp matrix inequalities behind every bound.

Let A and A' be symmetric with a I <= A, A' <= b I, where a = 1 - alpha L and b = 1 - alpha mu; they
need not commute. The task gradient of the MAML loss is A_i A'_i grad f_i with A_i = I - alpha Hess
f_i(w) and A'_i = I - alpha int_0^1 Hess f_i(w - s alpha grad f_i) ds, so what can be said of
products A A' can be said of grad F. (Proposition 3.1 of Xu, Chen and Karbasi (2021) writes A'_i as
the Hessian at one point of the segment; for d >= 2 no such point need exist, and the average takes
its place.)

Norms of I - A A' and A A' - c I are convex, and the smallest eigenvalue of the symmetric part of A
A' is concave, in each factor; so extremes occur where both have spectrum {a, b}: A = c0 + r X, A' =
c0 + r Y with reflections X, Y, c0 = (a + b)/2, r = (b - a)/2. By the theorem on two projections 2 x
2 blocks suffice: A A' = c0^2 I + 2 c0 r cos(phi/2) Z + r^2 R_phi, Z a reflection and R_phi a
rotation, where the operator norm is the sum of the moduli of the conformal and the anti-conformal
part. Each constant below is the extreme over phi.

All functions broadcast over arrays of alpha, mu, L. Units: L, mu in E/W^2, alpha in W^2/E.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, real_array

__all__ = [
    "contraction_range",
    "defect_norm",
    "h",
    "h_max",
    "h_min",
    "psi",
    "psi_limit",
    "rho",
    "zeta_corrected",
    "zeta_corrected_limit",
]

Given = ParamSpec("Given")
Result = TypeVar("Result")
Numbers = npt.ArrayLike

# With a minus an upper bound made of these would be one of nothing.
NEVER_NEGATIVE = frozenset(
    (
        "gradient_norm",
        "gradient_F_norm",
        "mean_query_norm",
        "mean_prox_gradient_norm",
        "sigma",
        "gap",
        "gamma",
        "kappa",
        "kappa_i",
    )
)


def as_numbers(name: str, value: Numbers) -> Array:
    """Return real numbers as float64, of any shape; a norm or a spread must not be negative."""
    numbers = np.asarray(real_array(name, value), dtype=np.float64)
    if name in NEVER_NEGATIVE and (numbers < 0).any():
        raise ValueError(f"{name} must not be negative, but it is {numbers.min():g}.")
    return numbers


def all_numbers(**named: Numbers) -> list[Array]:
    """Return `as_numbers` of several arguments, in their order."""
    return [as_numbers(name, value) for name, value in named.items()]


def of_single_numbers(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return a function of single real numbers that reads each of them by `as_numbers`; None stays what it is."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: Given.args, **named: Given.kwargs) -> Result:
        bound = signature.bind(*args, **named)
        for name, value in bound.arguments.items():
            if value is None and signature.parameters[name].default is None:
                continue
            number = as_numbers(name, value)
            if number.ndim:
                raise ValueError(
                    f"{name} must be one real number, but it has shape {number.shape}."
                )
            bound.arguments[name] = float(number)
        return function(*bound.args, **bound.kwargs)

    return checked


def contraction_range(alpha: Numbers, mu: Numbers, L: Numbers) -> tuple[Array, Array]:
    """Return a = 1 - alpha L and b = 1 - alpha mu.

    Raises
    ------
    ValueError
        If alpha is negative, mu > L, or alpha L > 1 (then A may reverse directions and none of the
        bounds of this module holds).
    """
    step, low, high = all_numbers(alpha=alpha, mu=mu, L=L)
    if not (step >= 0).all():
        raise ValueError(f"alpha must not be negative, but it is {alpha!r}.")
    if not (low <= high).all():
        raise ValueError(f"mu must be at most L, but mu is {mu!r} and L is {L!r}.")
    # 1/L rounded may leave alpha L a few units above 1
    if not (step * high <= 1.0 + 1e-12).all():
        raise ValueError(f"alpha must be at most 1/L, but alpha is {alpha!r} and L is {L!r}.")
    return np.maximum(1.0 - step * high, 0.0), 1.0 - step * low


def psi(alpha: Numbers, mu: Numbers, L: Numbers) -> Array:
    """Return psi = min lambda_min((A A' + A' A)/2): **tight**.

    psi = (1 - alpha L)^2 if 3a >= b (true whenever alpha L <= 2/3), else c0^2/2 - r^2. It is
    positive iff a > (3 - 2 sqrt 2) b. For d = 1 all factors commute and a^2 holds for every alpha
    <= 1/L; this function does not use that.
    """
    a, b = contraction_range(alpha, mu, L)
    center, half = 0.5 * (a + b), 0.5 * (b - a)
    result: Array = np.where(3.0 * a >= b, a * a, 0.5 * center**2 - half**2)[()]
    return result


@of_single_numbers
def psi_limit(mu: float, L: float) -> float:
    """Return the supremum of alpha <= 1/L with psi > 0, **tight**: (1 - t)/(L - t mu), t = 3 - 2 sqrt 2."""
    t = 3.0 - 2.0 * np.sqrt(2.0)
    return float((1.0 - t) / (L - t * mu))


def rho(alpha: Numbers, mu: Numbers, L: Numbers) -> Array:
    """Return rho = max ||A A' - c I|| with c = (a^2 + b^2)/2: **tight** for this c.

    rho = (b - a) sqrt((a^2 + b^2)/2) = alpha (L - mu)(1 + O(alpha L)) <= alpha L,
    and 0 if L = mu (one common Hessian: no bias). Other centres c give at most a few per cent less.
    """
    a, b = contraction_range(alpha, mu, L)
    return (b - a) * np.sqrt(0.5 * (a * a + b * b))


def defect_norm(alpha: Numbers, mu: Numbers, L: Numbers) -> Array:
    """Return max ||I - A A'||: **tight** (mu >= 0).

    With k = 1 - c0^2: 1 - (1 - alpha L)^2 if c0 (k + r^2) >= 2 r sqrt k (true whenever alpha L <= 2
    - sqrt 2), else (k + r^2)/sqrt k. The supremum over mu and alpha L <= 1 is 2/sqrt 3. The paper's
    2 alpha L + alpha^2 L^2 (proof of Lemma B.3) is an upper bound of it.
    """
    a, b = contraction_range(alpha, mu, L)
    if not (as_numbers("mu", mu) >= 0).all():
        raise ValueError(f"mu must not be negative for this bound, but it is {mu!r}.")
    center, half = 0.5 * (a + b), 0.5 * (b - a)
    k = np.maximum(1.0 - center**2, 0.0)
    root = np.sqrt(np.where(k > 0, k, 1.0))
    simple = center * (k + half**2) >= 2.0 * half * np.sqrt(k)
    result: Array = np.where(simple, 1.0 - a * a, (k + half**2) / root)[()]
    return result


def h(eigenvalue: Numbers, alpha: Numbers) -> Array:
    """Return h(x) = x (1 - alpha x)^2: an eigenvalue x of Hess f_i gives h(x) in F, kappa = 0."""
    x = as_numbers("eigenvalue", eigenvalue)
    result: Array = x * (1.0 - as_numbers("alpha", alpha) * x) ** 2
    return result


def h_min(alpha: Numbers, mu: Numbers, L: Numbers) -> Array:
    """Return min of h over [mu, L] for alpha <= 1/L, **tight**: h rises, then falls, so min(h(mu), h(L))."""
    contraction_range(alpha, mu, L)
    return np.minimum(h(mu, alpha), h(L, alpha))


def h_max(alpha: Numbers, mu: Numbers, L: Numbers) -> Array:
    """Return max of h over [mu, L], alpha <= 1/L: **tight**.

    4/(27 alpha) if mu <= 1/(3 alpha) <= L, else max(h(mu), h(L)).

    The value 4/(27 alpha) bounds h only while alpha x <= 4/3: for alpha = 1 and one task with
    Hessian 3, Hess F = h(3) = 12.
    """
    contraction_range(alpha, mu, L)
    step, low, high = all_numbers(alpha=alpha, mu=mu, L=L)
    # as products, because 1/alpha may exceed the largest float
    inside = (3.0 * step * low <= 1.0) & (3.0 * step * high >= 1.0)
    safe = np.where(inside, step, 1.0)
    result: Array = np.where(inside, 4.0 / (27.0 * safe), np.maximum(h(low, step), h(high, step)))[
        ()
    ]
    return result


def zeta_corrected(alpha: Numbers, mu: Numbers, L: Numbers) -> Array:
    """Return zeta_1 = (L + mu) psi/2 - (L - mu)(1 - alpha mu)^2/2, a **lower** bound of ||grad f||'s decay.

    g'H A A' g >= zeta_1 ||g||^2 for mu I <= H <= L I: write H = (L + mu)/2 I + (L - mu)/2 Z',
    ||Z'|| <= 1. It replaces zeta = mu - (5/4) L^2 alpha (L^3 alpha^2 + 2 L^2 alpha + 2) of Lemma
    3.8, whose terms have different units.
    """
    a, b = contraction_range(alpha, mu, L)
    step, low, high = all_numbers(alpha=alpha, mu=mu, L=L)
    factor = psi(alpha, mu, L)
    # psi - b^2, which at a small alpha is a difference of two numbers near 1
    loss = np.where(3.0 * a >= b, -step * (high - low) * (a + b), factor - b * b)
    result: Array = (0.5 * low * (factor + b * b) + 0.5 * high * loss)[()]
    return result


@of_single_numbers
def zeta_corrected_limit(mu: float, L: float) -> float:
    """Return the supremum of alpha with zeta_1 > 0, **tight** for zeta_1: (1 - t)/(L - t mu).

    With q = sqrt((L - mu)/(L + mu)), t = q while q >= 1/3 (L >= 1.25 mu), else t = 3 - 2 sqrt(2 (1
    - q^2)), where the second branch of psi is the active one. Using t = q throughout would be
    wrong: mu = 1, L = 1.1 and alpha = 0.885 < (1 - q)/(L - q mu) = 0.8866 give zeta_1 < 0.
    """
    q = float(np.sqrt((L - mu) / (L + mu)))
    if q >= 1.0 / 3.0:  # 1 - q without the cancellation of a small mu/L
        return 2.0 * (mu / (L + mu)) / (1.0 + q) / (L - q * mu)
    t = 3.0 - 2.0 * float(np.sqrt(2.0 * (1.0 - q * q)))
    return (1.0 - t) / (L - t * mu)
