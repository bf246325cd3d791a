"""Constants of quadratic families, by eigenvalues."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives.spectrum import EPS, Spectrum, solver_error
from maml_ode.tasks.base import QuadraticTerms, TaskFamily
from maml_ode.tasks.quadratic import Quadratic
from maml_ode.theory.evaluation import norm
from maml_ode.theory.family_constants.model import Constants, assemble, deviation, register
from maml_ode.theory.quantities import Status, safe_side
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
    """Return the constants: eigenvalues of H_i and of the mean Hessian G, kappa = 0.

    Exact to 1e-10 relative, or on the safe side by what rounding may have done to an eigenvalue.
    sd is bounded iff all H_i are equal, sigma^2 = sum p_i ||b_i - b||^2; otherwise the affine pair
    is sharp in nu, nu^2 = lambda_max(G^-1 E[(H_i - G)^2] G^-1), and on a region sigma is a bound.
    """
    p = tasks.weights
    names = ("mu", "L", "kappa", "mu_f", "L_f", "sigma", "sigma0", "nu")
    status = dict.fromkeys(names, Status.EXACT)
    notes = {"kappa": "quadratic losses", "mu": "eigenvalues", "L": "eigenvalues"}

    values: Array = np.asarray(np.linalg.eigvalsh(terms.H), dtype=np.float64)
    formed = np.zeros(tasks.n_tasks) if terms.H_error is None else terms.H_error
    radii = np.abs(values).max(axis=1)
    errors = formed + np.array([solver_error(tasks.dim, radius) for radius in radii])
    mu_i, L_i = np.empty(tasks.n_tasks), np.empty(tasks.n_tasks)
    for i, (ends, error) in enumerate(zip(values[:, [0, -1]], errors, strict=True)):
        low, high = safe_side(ends[0], error, above=False), safe_side(ends[1], error, above=True)
        mu_i[i], L_i[i] = low, high
        for name, end in (("mu", low), ("L", high)):
            if end.status is Status.BOUND:
                status[name], notes[name] = Status.BOUND, f"eigenvalues, {end.note}"

    mean = np.tensordot(p, terms.H, 1)
    own = Spectrum.of_matrix(mean, float(p @ (formed + tasks.n_tasks * EPS * radii)))
    mu_f = safe_side(own.smallest, float(own.error[0]), above=False)
    L_f = safe_side(own.largest, float(own.error[-1]), above=True)
    status["mu_f"], status["L_f"] = mu_f.status, L_f.status
    notes |= {"mu_f": mu_f.note, "L_f": L_f.note}

    spread = terms.H - mean
    second = np.tensordot(p, spread @ spread, 1)
    counted = p > 0
    common = bool((terms.H[counted] == terms.H[counted][0]).all())
    sigma0 = nu = sigma = math.inf
    minimizer: Array | None = None
    if common:
        sigma, nu = deviation(terms.b, p), 0.0
        sigma0 = sigma
        notes["sigma"] = "all Hessians are equal"
    else:
        notes["sigma"] = "unbounded: the tasks' Hessians differ"
    if own.is_positive_definite:
        minimizer = np.asarray(np.linalg.solve(mean, p @ terms.b), dtype=np.float64)
        if not common:
            widest = 0.5 * float(L_i.max() - mu_i.min()) / float(mu_f)
            # nu has no unit, so that the Hessians' own, a power of 2, is taken out without rounding.
            unit = 2.0 ** np.frexp(np.abs(terms.H).max())[1].clip(-1000, 1000)
            parts = np.linalg.solve(mean / unit, spread / unit)
            squares = np.tensordot(p, parts @ np.swapaxes(parts, 1, 2), 1)
            sharp = math.sqrt(float(np.linalg.eigvalsh(squares)[-1]))
            # A solve is off by the condition number in units of rounding, relative to the solution; what is solved
            # for, as a difference of Hessians, relative to these.
            lost = 16.0 * (tasks.dim + tasks.n_tasks) * EPS * float(L_f / mu_f)
            nu, status["nu"] = widest, Status.BOUND
            if lost < 1e-2:
                bound = safe_side(sharp, lost * (1.0 + sharp), above=True)
                nu, status["nu"] = float(bound), bound.status
            sd = deviation(np.einsum("mij,j->mi", terms.H, minimizer) - terms.b, p)
            residual = norm(mean @ minimizer - p @ terms.b)
            # What gradients, and the residual, are off by: the Hessians' rounding and that of their products.
            unit = 4.0 * (tasks.dim + tasks.n_tasks) * EPS
            size = float((formed + unit * radii).max()) * norm(minimizer)
            rounding = size + unit * float(np.abs(terms.b).max())
            about = safe_side(sd, rounding + widest * (residual + rounding), above=True)
            sigma0, status["sigma0"] = float(about), about.status
            notes |= {"sigma0": "sd at argmin f", "nu": "lambda_max(G^-1 E(H_i - G)^2 G^-1)^(1/2)"}
    local = _sigma_on(region, tasks, mean, second, minimizer, sigma0, float(mu_f))
    if local < sigma:
        sigma, status["sigma"], notes["sigma"] = local, Status.BOUND, "on the region"
    return assemble(
        tasks,
        region,
        mu_i=mu_i,
        L_i=L_i,
        kappa_i=np.zeros(tasks.n_tasks),
        status=status,
        notes=notes,
        mu_f=float(mu_f),
        L_f=float(L_f),
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
        if minimizer is None:
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
