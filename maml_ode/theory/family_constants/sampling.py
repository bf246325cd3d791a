"""Estimates of the constants on a region, for families of which nothing is known.

Samples under-estimate L, kappa and sigma and over-estimate mu, so the results are inflated and
tagged ``estimate``; no certificate built on them is more than estimated.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from maml_ode._validation import Array
from maml_ode.sizes import MATRIX_PER_TASK
from maml_ode.tasks.base import MissingDerivative, Smoothness, TaskFamily
from maml_ode.theory.evaluation import (
    all_finite,
    extreme_eigenvalues,
    task_gradients,
    task_hessians,
    task_products,
    task_thirds,
)
from maml_ode.theory.family_constants.model import Constants, assemble, deviation, register
from maml_ode.theory.quantities import Status
from maml_ode.theory.regions import (
    Ball,
    Region,
    RegionNeeded,
    Sublevel,
    enclosing_ball,
)

__all__ = ["INFLATION", "sampled_constants"]

INFLATION = 1.2
_LANCZOS_STEPS = 30


@register(TaskFamily)
def _from_family(tasks: TaskFamily, region: Region | None) -> Constants:
    return sampled_constants(tasks, region)


def sampled_constants(
    tasks: TaskFamily, region: Region | None, *, n_samples: int = 64, seed: int = 0
) -> Constants:
    """Return constants estimated at ``n_samples`` points of a ball, inflated by 1.2.

    Eigenvalues by dense solvers for d <= 60, else by 30 steps of Lanczos's method for all tasks at
    once; kappa from max |D^3 f_i[v, v, v]| over unit v by power iteration, or from differences of
    Hessian-vector products where there are no third derivatives. Half of the points are uniform in
    the ball and half on its sphere. Where the losses are not finite on the ball, nothing is known:
    mu = -inf, and the others infinite.

    Raises
    ------
    ValueError
        Without a region, for a `Sublevel` (whose shape is not known beforehand), for losses that are not
        C^1, or where their derivatives are not finite in the region.
    """
    if region is None:
        raise RegionNeeded(
            f"{type(tasks).__name__} has no closed-form constants: pass region=, a Ball about the "
            "points of interest, and they are estimated there."
        )
    if isinstance(region, Sublevel):
        raise ValueError(
            "region must be a Ball or an Interval for estimated constants: a Sublevel set is not "
            "known before them."
        )
    if tasks.smoothness is Smoothness.CONTINUOUS:
        raise ValueError(
            "the losses have no gradient at their kinks, so no constant of this theory exists; "
            "smooth them."
        )
    if not tasks.has_hvps:
        raise MissingDerivative(
            "constants need Hessian-vector products; give the family hvps= or hessians=."
        )
    ball = enclosing_ball(region, None, math.nan)
    rng = np.random.default_rng(seed)
    points = _points(ball, n_samples, rng)
    M = tasks.n_tasks
    low, high, kappa = np.full(M, np.inf), np.full(M, -np.inf), np.zeros(M)
    mean_low, mean_high, sigma = math.inf, -math.inf, 0.0
    for w in points:
        task_range, mean_range = _extremes(tasks, w, rng)
        low, high = np.minimum(low, task_range[:, 0]), np.maximum(high, task_range[:, 1])
        mean_low = float(np.minimum(mean_low, mean_range[0]))
        mean_high = float(np.maximum(mean_high, mean_range[1]))
        sigma = float(np.maximum(sigma, deviation(task_gradients(tasks, w), tasks.weights)))
        kappa = np.maximum(kappa, _third_norms(tasks, w, ball.radius, rng))
    if not all_finite(low, high, kappa, sigma, mean_low, mean_high):
        low, high, kappa = np.full(M, -np.inf), np.full(M, np.inf), np.full(M, np.inf)
        mean_low, mean_high, sigma = -math.inf, math.inf, math.inf
    if tasks.smoothness is Smoothness.GRADIENT:
        kappa = np.full(M, np.inf)
    low_i = _deflate(low)
    known = math.isfinite(mean_high)
    note = f"{len(points)} points, inflated by {INFLATION}"
    note = note if known else "the losses or their derivatives are not finite on all of the region"
    names = ("mu", "L", "kappa", "mu_f", "L_f", "sigma", "sigma0", "nu")
    mu_f = max(float(_deflate(np.array(mean_low))), float(tasks.weights @ low_i))
    L_f = min(INFLATION * mean_high, float(tasks.weights @ (INFLATION * high)))
    return assemble(
        tasks,
        Ball(ball.center, ball.radius),
        mu_i=low_i,
        L_i=np.where(high > 0, INFLATION * high, high / INFLATION),
        kappa_i=INFLATION * kappa,
        status=dict.fromkeys(names, Status.ESTIMATE),
        notes=dict.fromkeys(names, note),
        mu_f=mu_f,
        L_f=L_f,
        sigma=INFLATION * sigma,
    )


def _deflate(x: Array) -> Array:
    return np.where(x > 0, x / INFLATION, x * INFLATION)


def _points(ball: Ball, count: int, rng: np.random.Generator) -> Array:
    d = ball.center.size
    directions = rng.standard_normal((count, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = ball.radius * rng.random(count) ** (1.0 / d)
    radii[: count // 2] = ball.radius
    return np.concatenate([ball.center[None], ball.center + radii[:, None] * directions])


def _extremes(
    tasks: TaskFamily, w: Array, rng: np.random.Generator
) -> tuple[Array, tuple[float, float]]:
    """Return the extreme eigenvalues (M, 2) of the Hess f_i(w), and those of Hess f(w)."""
    p = tasks.weights
    if tasks.dim <= MATRIX_PER_TASK:
        hessians = task_hessians(tasks, w)
        mean = extreme_eigenvalues(np.tensordot(p, hessians, 1))
        return extreme_eigenvalues(hessians), (float(mean[0]), float(mean[1]))

    def averaged(v: Array) -> Array:
        return np.asarray(p @ task_products(tasks, w, v[0]))[None]

    each = _lanczos_ends(lambda v: task_products(tasks, w, v), tasks.n_tasks, tasks.dim, rng)
    mean = _lanczos_ends(averaged, 1, tasks.dim, rng)[0]
    return each, (float(mean[0]), float(mean[1]))


def _lanczos_ends(
    product: Callable[[Array], Array], count: int, dim: int, rng: np.random.Generator
) -> Array:
    """Return estimates from inside of the extreme eigenvalues of ``count`` matrices: shape (count, 2).

    Every step is one product for all of them, v of shape (count, d); the bases are kept orthogonal.
    """
    v = rng.standard_normal((count, dim))
    basis, images = [v / np.linalg.norm(v, axis=1, keepdims=True)], [np.zeros((count, dim))]
    for step in range(min(_LANCZOS_STEPS, dim)):
        images[step] = image = product(basis[step])
        if not all_finite(image):
            return np.full((count, 2), np.nan)
        size = np.linalg.norm(image, axis=1)
        for _ in range(2):  # once more, against what rounding left
            for u in basis:
                image = image - (u * image).sum(axis=1, keepdims=True) * u
        rest = np.linalg.norm(image, axis=1)
        fresh = rest > 1e-12 * size  # else the subspace is invariant: zero vectors from here on
        basis.append(np.where(fresh[:, None], image, 0.0) / np.where(fresh, rest, 1.0)[:, None])
        images.append(np.zeros((count, dim)))
    q, Hq = np.stack(basis[:-1], axis=1), np.stack(images[:-1], axis=1)
    small = np.einsum("mid,mjd->mij", q, Hq)
    small = 0.5 * (small + small.swapaxes(1, 2))
    # a zero vector must not bring an eigenvalue 0 of its own: the first quotient takes its place
    diagonal = np.einsum("mii->mi", small)
    diagonal[...] = np.where(np.linalg.norm(q, axis=2) > 0.5, diagonal, diagonal[:, :1])
    return extreme_eigenvalues(small)


def _third_norms(tasks: TaskFamily, w: Array, radius: float, rng: np.random.Generator) -> Array:
    """Return lower estimates of max |D^3 f_i(w)[v, v, v]| over unit v, shape (M,).

    For a symmetric tensor that maximum is the norm max ||D^3 f_i[v]|| (Banach); the iteration
    v <- D^3 f_i[v, v]/||.|| climbs towards it from a random start.
    """
    v = rng.standard_normal((tasks.n_tasks, tasks.dim))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    best = np.zeros(tasks.n_tasks)
    h = 1e-4 * radius
    for _ in range(6):
        if tasks.has_thirds:
            image = task_thirds(tasks, w, v)
        else:
            with np.errstate(all="ignore"):
                forward, back = (
                    task_products(tasks, w + h * v, v),
                    task_products(tasks, w - h * v, v),
                )
                image = (forward - back) / (2.0 * h)
        size = np.linalg.norm(image, axis=1)
        if not np.isfinite(size).all():
            return np.where(np.isfinite(size), best, np.inf)
        best = np.maximum(best, size)
        v[size > 0] = image[size > 0] / size[size > 0, None]
    return best
