"""Quadratic forms of tasks with fewer samples than parameters, against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import maml_ode as mo


def exactly(array):
    return np.vectorize(Fraction, otypes=[object])(np.asarray(array, dtype=np.float64))


def exact_form(X, y, scales, weights, alpha, inner_steps):
    """G and c from the definition, w'Hw/2 - b'w + const for every task, in fractions."""
    d = X[0].shape[1]
    G, c = 0 * exactly(np.eye(d)), 0 * exactly(np.zeros(d))
    for Xi, yi, s, p in zip(map(exactly, X), map(exactly, y), scales, weights, strict=True):
        H, b = 2 * Fraction(s) * (Xi.T @ Xi), 2 * Fraction(s) * (Xi.T @ yi)
        P, r = exactly(np.eye(d)), exactly(np.zeros(d))
        for _ in range(inner_steps):
            P, r = P - Fraction(alpha) * (H @ P), r - Fraction(alpha) * (H @ r - b)
        G = G + Fraction(p) * (P.T @ H @ P)
        c = c + Fraction(p) * (P.T @ (b - H @ r))
    return G, c


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    d=st.integers(2, 5),
    inner_steps=st.integers(0, 3),
    size=st.floats(-6.0, 6.0),
    reach=st.floats(0.0, 3.0),
)
def test_the_form_is_exact_within_its_own_bounds(seed, d, inner_steps, size, reach):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, d, size=3)
    X = [10.0**size * rng.standard_normal((rows, d)) for rows in n]
    y = [10.0 ** rng.uniform(-3, 3) * rng.standard_normal(rows) for rows in n]
    weights = rng.dirichlet(np.ones(3))
    tasks = mo.tasks.LinearRegression(X, y, weights=weights / weights.sum())
    alpha = reach / 10.0 ** (2 * size) / d
    F = mo.MAMLLoss(tasks, alpha, inner_steps) if inner_steps else mo.ExpectedLoss(tasks)
    form = F.quadratic_form
    assert "quadratic" not in vars(tasks)  # no matrix of a task was formed
    G, c = exact_form(X, y, tasks.scales, tasks.weights, alpha, inner_steps)
    off = np.linalg.norm((exactly(form.G) - G).astype(np.float64), 2)
    assert off <= form.G_error <= 1e-12 * max(np.linalg.norm(form.G, 2), 1e-300) * (1 + reach) ** 7
    assert np.linalg.norm((exactly(form.c) - c).astype(np.float64)) <= form.c_error
    np.testing.assert_array_equal(form.G, form.G.T)
    w = rng.standard_normal(d) / 10.0**size
    values = [F._inner.loop.value(w), F.value(w)]
    assert values[1] == pytest.approx(values[0], rel=1e-9)


def test_other_families_keep_the_way_by_their_matrices():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3))
    few, query = mo.tasks.LinearRegression(X, y), mo.tasks.LinearRegression(X[::-1], y[::-1])
    many = mo.tasks.LinearRegression([*X, rng.standard_normal((5, 5))], [*y, np.ones(5)])
    for tasks, judge in ((few, query), (many, None)):
        F = mo.MAMLLoss(tasks, 0.05, 2, query=judge)
        assert F.quadratic_form is not None
        assert "quadratic" in vars(tasks)
        w = rng.standard_normal(5)
        np.testing.assert_allclose(F.gradient(w), F._inner.loop.gradient(w), rtol=1e-10)
