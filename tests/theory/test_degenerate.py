"""Families at the edge: singular to rounding, constants on a region, no minimiser, other units."""

import numpy as np
import pytest
import sympy

import maml_ode as mo


@pytest.mark.parametrize("seed", range(40))
def test_rank_deficient_least_squares_claim_no_strong_convexity(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((8, 2)) @ rng.standard_normal((2, 3))
    tasks = mo.tasks.LinearRegression([X], [rng.standard_normal(8)])
    k = mo.theory.constants(tasks)
    assert k.mu <= 0.0
    assert k.mu.status.value == "bound"
    certificates = mo.theory.certify(tasks, 0.01, w0=np.ones(3))
    assert certificates["strong_convexity"].holds is None


def test_a_constant_is_exact_where_rounding_leaves_ten_digits():
    k = mo.theory.constants(mo.tasks.Quadratic([np.diag([1e-5, 1.0])], [[0.0, 0.0]]))
    assert k.mu == pytest.approx(1e-5, rel=1e-10)
    assert k.mu.status.value == "exact"
    k = mo.theory.constants(mo.tasks.Quadratic([np.diag([1e-12, 1.0])], [[0.0, 0.0]]))
    assert 0.99e-12 < k.mu <= 1e-12
    assert k.mu.status.value == "bound"


REGIONAL = {
    "logistic": (
        mo.tasks.LogisticRegression([[[1.0], [2.0]], [[1.5], [-1.0]]], [[1, -1], [1, -1]]),
        mo.theory.Ball([0.0], 1.0),
    ),
    "sinusoid": (
        mo.tasks.Sinusoid([0.5, 0.5], [2.0, 1.0], [1.0, 1.5]),
        mo.theory.Interval(0.2, 1.0),
    ),
}


@pytest.mark.parametrize("name", REGIONAL)
def test_global_extremes_are_only_bounds_on_a_region(name):
    tasks, region = REGIONAL[name]
    k = mo.theory.constants(tasks, region)
    inside = np.linspace(-1.0, 1.0, 401) if name == "logistic" else np.linspace(0.2, 1.0, 401)
    second = np.array([tasks.hessians([w]).ravel() for w in inside])
    assert k.mu <= second.min()
    assert second.max() <= k.L
    assert {k.mu.status.value, k.L.status.value, k.kappa.status.value} == {"bound"}
    # Not strongly convex everywhere, strongly convex here: nothing is proved wrong.
    assert second.min() > 0 >= k.mu
    certificates = mo.theory.certify(tasks, 0.1, w0=[0.5], constants=k)
    assert certificates["strong_convexity"].holds is not False


@pytest.mark.parametrize("seed", range(8))
def test_losses_without_a_minimiser_are_certified_without_a_crash(seed):
    rng = np.random.default_rng(seed)
    tasks = mo.tasks.SVM(rng.standard_normal((1, 1, 1)), [[1]], "smooth_hinge", smoothing=1e-3)
    L = mo.theory.constants(tasks).L
    certificates = mo.theory.certify(tasks, 0.5 / L, w0=3.0 * rng.standard_normal(1))
    assert certificates["strong_convexity"].holds is not True


def test_a_task_without_weight_makes_no_noise():
    X, y = np.arange(1.0, 9.0).reshape(2, 4, 1), np.array([[1, -1, 1, -1]] * 2)
    tasks = mo.tasks.SVM(X, y, "squared_hinge", l2=0.1, weights=[1.0, 0.0])
    assert mo.theory.certify(tasks, 1e-4, w0=[0.5])


def test_units_do_not_decide_the_gradient_identity():
    verdicts = []
    for s in (1e-6, 1.0, 1e6):
        tasks = mo.tasks.Sinusoid([0.505 * s] * 2, [s, 1e-4 * s], [1.0, 100.0])
        certificate = mo.theory.certify(tasks, 0.4 / s, w0=[-5.0])["gradient_identity"]
        verdicts.append((certificate.holds, certificate.value / certificate.bound))
    assert len({holds for holds, _ in verdicts}) == 1
    assert [ratio for _, ratio in verdicts] == pytest.approx([verdicts[0][1]] * 3, rel=1e-3)


def test_a_symbol_called_like_a_number_must_be_declared():
    with pytest.raises(ValueError, match="'E'"):
        mo.tasks.Symbolic(sympy.Symbol("E") * sympy.Symbol("w") ** 2, "w")
    tasks = mo.tasks.Symbolic(sympy.E * sympy.Symbol("w") ** 2, "w")
    assert tasks.losses([1.0]) == pytest.approx(np.e)
