"""Mixed linear regression: its formulas against draws in plain NumPy, and the flow against least squares."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.experiments.mixed_regression import MixedRegression

FIGURE_2 = MixedRegression()  # of Bernacchia, ICLR 2021


def least_norm(model, alpha, X, y, V, v, w0):
    """The solution of all judging rows nearest to w0, from data as they are."""
    S = np.einsum("mni,mnj->mij", X, X) / model.n_train
    A = np.eye(model.dim) - alpha * S
    B = np.einsum("mvi,mij->mvj", V, A).reshape(-1, model.dim)
    step = alpha / model.n_train * np.einsum("mni,mn->mi", X, y)
    wanted = (v - np.einsum("mvi,mi->mv", V, step)).ravel()
    return w0 + np.linalg.pinv(B) @ (wanted - B @ w0)


def data(family):
    return np.array(family.X), np.array(family.y)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.2])
def test_the_flow_ends_at_the_nearest_solution(alpha):
    model = MixedRegression(offset=2.0)
    for seed in range(2):
        support, query = model.draw(seed)
        w0 = np.zeros(60)
        w0[0] = 2.0
        wanted = least_norm(model, alpha, *data(support), *data(query), w0)
        np.testing.assert_allclose(model.trained(alpha, seed), wanted, atol=1e-7)


def draws(model, runs, alphas, seed=0):
    """|w - omega|^2 after training, (runs, alphas), from random numbers of this test's own."""
    rng = np.random.default_rng(seed)
    m, n, k, p = model.n_tasks, model.n_train, model.n_validation, model.dim
    found = np.empty((runs, len(alphas)))
    for row in found:
        truth = model.spread / np.sqrt(p) * rng.standard_normal((m, p, 1))
        X, V = rng.standard_normal((m, n, p)), rng.standard_normal((m, k, p))
        y = (X @ truth)[..., 0] + model.noise * rng.standard_normal((m, n))
        v = (V @ truth)[..., 0] + model.noise * rng.standard_normal((m, k))
        w0 = np.zeros(p)
        w0[0] = model.offset
        row[:] = [np.sum(least_norm(model, a, X, y, V, v, w0) ** 2) for a in alphas]
    return found


def test_where_training_ends_is_what_the_formula_says():
    """To leading order: within a few parts in a hundred of it where rows are few, and above all in the order."""
    model = MixedRegression(dim=80, n_train=40, n_validation=1, n_tasks=2, spread=0.3, offset=0.1)
    best = model.best_alpha
    alphas = [best, best / 2, 0.0, -best / 4, -best / 2]
    found = draws(model, 300, alphas)
    formula = np.array([model.distance(alpha) for alpha in alphas])
    error = 4 * found.std(axis=0, ddof=1) / np.sqrt(len(found))
    order = model.rows / model.dim + model.rows / model.n_train
    assert (np.abs(found.mean(axis=0) - formula) < error + order * formula).all()
    # Draw by draw the negative alpha beats 0, and 0 the positive ones: the differences lie far from chance.
    for one, other in ((0, 2), (1, 2), (2, 3), (3, 4)):
        gain = found[:, other] - found[:, one]
        assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(len(gain))


def test_at_alpha_0_the_noises_part_is_that_of_an_inverse_wishart_matrix():
    model = MixedRegression(dim=30, n_validation=3, n_tasks=3, spread=0.0)
    found = draws(model, 600, [0.0])[:, 0]
    exact = model.rows / (model.dim - model.rows - 1)
    assert abs(found.mean() - exact) < 4 * found.std(ddof=1) / np.sqrt(len(found))
    assert found.mean() > model.distance(0.0)


def test_what_is_left_of_the_start_is_its_share_outside_the_rows():
    model = MixedRegression(dim=12, n_train=6, noise=0.0, spread=0.0, offset=3.0)
    found = draws(model, 300, [-0.5])[:, 0]
    assert model.distance(-0.5) == pytest.approx(9.0 * (1 - 6 / 12))
    assert abs(found.mean() - 4.5) < 4 * found.std(ddof=1) / np.sqrt(len(found))


def test_the_best_alphas_are_where_the_formulas_are_least():
    for model in (
        FIGURE_2,
        MixedRegression(n_train=3, spread=0.0, offset=5.0),
        MixedRegression(dim=400, n_train=2, noise=3.0),
    ):
        best, e = model.best_alpha, 1e-3
        assert best < 0
        around = [model.distance(x) for x in (best - e, best, best + e)]
        assert around[1] < min(around[0], around[2])
        grid = np.linspace(-3, 3, 601)
        assert model.distance(best) <= min(model.distance(x) for x in grid)
        assert model.distance(0.01) > model.distance(0.0) > model.distance(-0.01)
        adapt = model.best_alpha_adapt(best)
        assert adapt > 0
        assert model.loss(best, adapt) <= min(model.loss(best, x) for x in grid)
    far = MixedRegression(dim=10**8, n_train=1)
    assert far.best_alpha == pytest.approx(-1e-4, rel=1e-3)


def test_the_loss_of_new_tasks_is_that_of_the_meta_test():
    model = MixedRegression(dim=12, n_adapt=8, n_train=8, n_validation=4, n_tasks=2, spread=1.5)
    w = np.zeros(12)
    w[:3] = 0.7
    new, judge = model.draw(5, n_tasks=4000)
    found = mo.meta_test(w, new, 0.15, 1, query=judge)
    losses = found.losses[:, 1]
    expected = model.loss_at(float(w @ w), 0.15)
    assert abs(losses.mean() - expected) < 4 * losses.std() / np.sqrt(losses.size)
    assert losses.std() / np.sqrt(losses.size) < 0.03 * expected


def test_simulation_says_mean_and_interval():
    mean, half = FIGURE_2.simulated(-1.0, runs=4, seed=3)
    rngs = [np.random.default_rng(one) for one in np.random.SeedSequence(3).spawn(4)]
    squares = [np.sum(FIGURE_2.trained(-1.0, rng) ** 2) for rng in rngs]
    assert mean == pytest.approx(np.mean(squares))
    assert half == pytest.approx(1.96 * np.std(squares, ddof=1) / 2)


def test_refusals():
    with pytest.raises(ValueError, match="60 rows must be fewer than dim = 60"):
        MixedRegression(n_validation=20)
    with pytest.raises(ValueError, match="noise"):
        MixedRegression(noise=-1.0)
    with pytest.raises(ValueError, match="runs must be at least 2"):
        FIGURE_2.simulated(0.0, runs=1)
