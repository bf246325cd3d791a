"""The objective falls in every accepted step of RKC2 and of the Rosenbrock methods on a gradient flow.

For a convex quadratic this is a theorem: a step multiplies the mode of rate lambda by R(-h lambda), and |R| < 1 on
the negative axis (Rosenbrock) or as far as the spectral radius reaches (RKC2). Elsewhere it is observed, here over
tolerances from 0.1 to 1e-6.
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import maml_ode as mo
from maml_ode.integrate.solvers import METHODS, RKC2, Rodas5P

TOLERANCES = (1e-1, 1e-2, 1e-4, 1e-6)
stiff_method = pytest.mark.parametrize("name", ["RKC2", "Rodas4P", "Rodas5P"])


def basis(d, seed=1):
    Q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    return Q


class Objective:
    """An objective with minimum value 0 at 0, so that it is evaluated without cancellation."""

    def __init__(self, value, gradient, hessian):
        self.value, self.gradient, self.hessian = value, gradient, hessian


def objectives(condition, d=10):
    Q, rates = basis(d), np.geomspace(1 / condition, 1, d)
    G = (Q * rates) @ Q.T

    def log_cosh(w):
        z = np.abs(Q.T @ w)
        # cosh z = 1 + 2 sinh(z/2)^2, so that small values are not lost
        return float(rates @ np.where(z < 1, np.log1p(2 * np.sinh(np.minimum(z, 1) / 2) ** 2),
                                      z + np.log1p(np.exp(-2 * z)) - np.log(2)))  # fmt: skip

    return {
        "quadratic": Objective(lambda w: w @ G @ w / 2, lambda w: G @ w, lambda w: G),
        "log cosh": Objective(
            log_cosh,
            lambda w: Q @ (rates * np.tanh(Q.T @ w)),
            lambda w: (Q * (rates / np.cosh(Q.T @ w) ** 2)) @ Q.T,
        ),
        "quartic": Objective(
            lambda w: w @ G @ w / 2 + np.sum(w**4) / 4,
            lambda w: G @ w + w**3,
            lambda w: G + np.diag(3 * w**2),
        ),
    }


def follow(objective, method, tol, horizon, **options):
    if "Rodas" in getattr(method, "__name__", method):
        options["jac"] = lambda t, w: -objective.hessian(w)
    start = 3 * np.random.default_rng(2).normal(size=10)
    run = solve_ivp(
        lambda t, w: -objective.gradient(w), (0, horizon), start, method=method,
        rtol=tol, atol=tol / 10, **options,
    )  # fmt: skip
    assert run.success
    return run, np.array([objective.value(w) for w in run.y.T])


@stiff_method
@pytest.mark.parametrize("condition", [1e3, 1e6])
@pytest.mark.parametrize("kind", ["quadratic", "log cosh", "quartic"])
def test_objective_falls_in_every_step(name, condition, kind):
    objective = objectives(condition)[kind]
    for tol in TOLERANCES if kind != "log cosh" else TOLERANCES[:3]:
        run, values = follow(objective, METHODS[name], tol, 3 * condition)
        assert (np.diff(values) <= 1e-13 * values[:-1]).all()
        assert values[-1] < 1e-2 * values[0]
        assert len(run.t) < 3000


@stiff_method
def test_maml_losses_fall_in_every_step(name):
    rng = np.random.default_rng(3)
    X = [rng.normal(size=(n, 5)) * np.geomspace(1, 0.03, 5) for n in (20, 7, 1)]
    y = [np.where(rng.random(len(x)) < 0.5, -1.0, 1.0) for x in X]
    tasks = mo.tasks.LogisticRegression(X, y, l2=1e-3)
    F = mo.MAMLLoss(tasks, 0.5, inner_steps=2)
    for tol in TOLERANCES:
        options = {"jac": lambda t, w: -F.hessian(w)} if "Rodas" in name else {}
        run = solve_ivp(
            lambda t, w: -F.gradient(w), (0, 2000), 2 * rng.normal(size=5), method=METHODS[name],
            rtol=tol, atol=tol / 10, **options,
        )  # fmt: skip
        values = np.array([F.value(w) for w in run.y.T])
        assert (np.diff(values) <= 4 * np.finfo(float).eps * np.abs(values[0])).all()


def test_explicit_pairs_raise_the_objective_at_their_stability_limit():
    # The contrast: RK45's step control holds h lambda_max where |R| is about 1, on either side of it.
    objective = objectives(1e3)["quadratic"]
    run, values = follow(objective, "RK45", 1e-2, 3000)
    assert (np.diff(values) > 0).mean() > 0.1
    for method in (RKC2, Rodas5P):
        cheap, _ = follow(objective, method, 1e-2, 3000)
        assert cheap.nfev < run.nfev / 8


def test_rkc_needs_the_true_spectral_radius():
    # With a tenth of lambda_max the fastest modes bound the step as in any method of two stages.
    objective = objectives(1e3)["quadratic"]
    costs = {}
    for radius in (1.0, 0.1):
        run, _ = follow(objective, RKC2, 1e-2, 3000, spectral_radius=radius)
        costs[radius] = run.nfev
    assert costs[0.1] > 5 * costs[1.0]
