"""Constants of quadratic families, by eigenvalues."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.tasks.base import QuadraticTerms, TaskFamily
from maml_ode.tasks.quadratic import Quadratic
from maml_ode.theory.family_constants.model import Constants, assemble, deviation, register
from maml_ode.theory.minimizer import rounding_of
from maml_ode.theory.quantities import Status
from maml_ode.theory.regions import Ball, Interval, Region, Sublevel, enclosing_ball

__all__ = ["quadratic_constants"]


@register(Quadratic)
def _from_family(tasks: TaskFamily, region: Region | None) -> Constants:
    terms = tasks.quadratic
    if terms is None:
        raise TypeError(f"{type(tasks).__name__} has no quadratic terms.")
    return quadratic_constants(tasks, terms, region)


def quadratic_constants(
    tasks: TaskFamily, terms: QuadraticTerms, region: Region | None
) -> Constants:
    """Return the exact constants: eigenvalues of H_i and of the mean Hessian G, kappa = 0.

    sd is bounded iff all H_i are equal, sigma^2 = sum p_i ||b_i - b||^2; otherwise the affine pair
    is sharp in nu, nu^2 = lambda_max(G^-1 E[(H_i - G)^2] G^-1), and on a region sigma is a bound.
    """
    p = tasks.weights
    eigenvalues: Array = np.asarray(np.linalg.eigvalsh(terms.H), dtype=np.float64)
    mean = np.tensordot(p, terms.H, 1)
    mean_eigenvalues: Array = np.asarray(np.linalg.eigvalsh(mean), dtype=np.float64)
    spread = terms.H - mean
    second = np.zeros_like(mean)
    for weight, block in zip(p, spread, strict=True):
        second += weight * (block @ block)
    common = float(np.abs(spread).max()) <= 1e-14 * float(np.abs(terms.H).max())
    sigma0 = nu = sigma = math.inf
    minimizer: Array | None = None
    status = dict.fromkeys(("mu", "L", "kappa", "mu_f", "L_f", "sigma0", "nu"), Status.EXACT)
    status["sigma"] = Status.EXACT
    notes = {"kappa": "quadratic losses", "mu": "eigenvalues", "L": "eigenvalues"}
    for name, values in (("mu", eigenvalues), ("mu_f", mean_eigenvalues[None])):
        error = rounding_of(values)
        vague = np.abs(values[:, 0]) <= error
        if vague.any():
            # Zero or not: rounding decides. Below it lies what is proved.
            values[vague, 0] -= error[vague]
            status[name], notes[name] = Status.BOUND, "singular to rounding"
    if common:
        sigma, nu = deviation(terms.b, p), 0.0
        sigma0 = sigma
        notes["sigma"] = "all Hessians are equal"
    else:
        notes["sigma"] = "unbounded: the tasks' Hessians differ"
    if mean_eigenvalues[0] > 0:
        minimizer = np.asarray(np.linalg.solve(mean, p @ terms.b), dtype=np.float64)
        if not common:
            inverse = np.linalg.inv(mean)
            nu = math.sqrt(max(float(np.linalg.eigvalsh(inverse @ second @ inverse)[-1]), 0.0))
            sigma0 = deviation(np.einsum("mij,j->mi", terms.H, minimizer) - terms.b, p)
            notes |= {"sigma0": "sd at argmin f", "nu": "lambda_max(G^-1 E(H_i - G)^2 G^-1)^(1/2)"}
    local = _sigma_on(region, tasks, mean, second, minimizer, sigma0, float(mean_eigenvalues[0]))
    if local < sigma:
        sigma, status["sigma"], notes["sigma"] = local, Status.BOUND, "on the region"
    return assemble(
        tasks,
        region,
        mu_i=eigenvalues[:, 0],
        L_i=eigenvalues[:, -1],
        kappa_i=np.zeros(tasks.n_tasks),
        status=status,
        notes=notes,
        mu_f=float(mean_eigenvalues[0]),
        L_f=float(mean_eigenvalues[-1]),
        sigma=sigma,
        sigma0=sigma0,
        nu=nu,
        minimizer=minimizer,
    )


def _sigma_on(
    region: Region | None,
    tasks: TaskFamily,
    mean: Array,
    second: Array,
    minimizer: Array | None,
    sigma0: float,
    mu_f: float,
) -> float:
    """Bound sd on a region: sd(z + v) <= sd(z) + (v'E(H_i - G)^2 v)^(1/2)."""
    if region is None:
        return math.inf
    if isinstance(region, Sublevel):
        if mu_f <= 0:
            raise ValueError(
                "region is a Sublevel set of f, but f is not strongly convex here; use a Ball."
            )
        # v'Gv <= 2c on V(c)
        factor = np.linalg.inv(np.linalg.cholesky(mean))
        top = float(np.linalg.eigvalsh(factor @ second @ factor.T)[-1])
        return sigma0 + math.sqrt(2.0 * region.level * max(top, 0.0))
    ball: Ball = enclosing_ball(region, minimizer, mu_f) if isinstance(region, Interval) else region
    centre = deviation(tasks.gradients(ball.center), tasks.weights)
    return centre + math.sqrt(max(float(np.linalg.eigvalsh(second)[-1]), 0.0)) * ball.radius
