"""Families at the edge: singular to rounding, constants on a region, no minimiser, other units."""

import math

import numpy as np
import pytest
import sympy

import maml_ode as mo
from maml_ode.theory.family_constants.model import assemble

from .by_hand import KAPPA_I, L_I, MU_I, TASKS, X_STAR, mean, slope


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


def test_the_deviation_of_quadratics_on_a_region_by_hand():
    """Curvatures 1 and 3 with weights 1/4 and 3/4: G = 5/2, E(H - G)^2 = 3/4, argmin f = -1/5, sd^2 there 0.48."""
    tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[1.0], [-1.0]], weights=[0.25, 0.75])
    ball = mo.theory.constants(tasks, mo.theory.Ball([0.5], 0.3))
    assert ball.sigma == pytest.approx(1.6875**0.5 + 0.3 * 0.75**0.5, rel=1e-12)
    level = mo.theory.constants(tasks, mo.theory.Sublevel(0.2))
    assert level.sigma0 == pytest.approx(0.48**0.5, rel=1e-12)
    assert level.nu == pytest.approx(0.75**0.5 / 2.5, rel=1e-12)
    assert level.sigma == pytest.approx(0.48**0.5 + (2 * 0.2 * 0.75 / 2.5) ** 0.5, rel=1e-12)


def test_the_deviation_at_the_minimiser_is_known_to_its_rounding():
    H = [np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[4.0, -1.0], [-1.0, 2.0]])]
    k = mo.theory.constants(mo.tasks.Quadratic(H, [[1.0, 2.0], [3.0, -1.0]]))
    gradients = [h @ k.minimizer - b for h, b in zip(H, ([1.0, 2.0], [3.0, -1.0]), strict=True)]
    assert k.sigma0 == pytest.approx(np.linalg.norm(gradients[0]), rel=1e-12)  # they cancel
    assert k.sigma0.status.value == "exact"


def assembled(region=None, **changes):
    numbers = {"mu_i": MU_I, "L_i": L_I, "kappa_i": KAPPA_I, "status": {}, "notes": {}}
    numbers |= {"mu_f": 0.6, "L_f": 2.4, "minimizer": np.array([X_STAR + 0.01])}
    return assemble(TASKS, region, **{**numbers, **changes})


def test_what_follows_from_the_constants_of_the_tasks():
    w = X_STAR + 0.01  # not quite the minimiser: its gradient may hide some of sd
    sd, half = 0.5 * abs(slope(0, w) - slope(1, w)), 0.5 * (L_I.max() - MU_I.min())
    k = assembled()
    assert k.sigma0 == pytest.approx(sd + half * abs(mean(slope, w)) / 0.6, rel=1e-12)
    assert k.nu == pytest.approx(half / 0.6, rel=1e-12)
    assert (k.sigma, k.sigma.status.value) == (math.inf, "bound")
    flat = assembled(mu_f=0.0)
    assert flat.sigma0 == flat.nu == math.inf
    ball = assembled(mo.theory.Ball([0.4], 0.3))
    wanted = 0.5 * abs(slope(0, 0.4) - slope(1, 0.4)) + half * 0.3
    assert ball.sigma == pytest.approx(wanted, rel=1e-12)
    assert assembled(mo.theory.Ball([0.4], 0.3), sigma=0.5 * wanted).sigma == 0.5 * wanted
    level = assembled(mo.theory.Sublevel(0.2))
    assert level.sigma == pytest.approx(k.sigma0 + k.nu * (2 * 2.4 * 0.2) ** 0.5, rel=1e-12)
    # an extreme over the whole line is a bound on a region, but for losses of one curvature everywhere
    known_mu = {"status": {"mu": mo.theory.Status.EXACT}}
    assert assembled(mo.theory.Ball([0.4], 0.3), **known_mu).mu.status.value == "bound"
    constant = assembled(mo.theory.Ball([0.4], 0.3), kappa_i=np.zeros(2), **known_mu)
    assert constant.mu.status.value == "exact"


def test_a_constant_names_the_task_that_it_belongs_to():
    X, y = np.array([[1.0], [2.0], [5.0], [3.0]]), np.array([1.0, 2.0, 3.0, 4.0])
    named = mo.tasks.LinearRegression.from_table(X, y, np.array(["a", "a", "b", "b"]))
    k = mo.theory.constants(named)
    assert k.mu.note.endswith("of task a")  # curvatures 2 (1 + 4)/2 and 2 (25 + 9)/2
    assert k.L.note.endswith("of task b")
    assert "of task" not in k.kappa.note  # 0 for both
    assert (
        "of task" not in mo.theory.constants(mo.tasks.LinearRegression([X, X], [y, 2 * y])).mu.note
    )
