"""Intervals that hold all critical points, against dense sampling beyond them and closed forms."""

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.theory.intervals.reach import confining_interval


def test_beyond_the_reach_of_sinusoids_F_rises_away_from_it():
    rng = np.random.default_rng(2)
    for _ in range(10):
        a, b, omega = rng.uniform(0.2, 1.0, 3), rng.normal(size=3), rng.uniform(0.5, 4.0, 3)
        L = (2 * a + np.abs(b) * omega**2).max()
        tasks = mo.tasks.Sinusoid(a, b, omega)
        low, high = confining_interval(tasks, 0.0, 0.999 / L)
        assert high == -low
        assert high == pytest.approx(np.abs(b * omega / (2 * a)).max(), rel=2e-3)
        assert high > np.abs(b * omega / (2 * a)).max()
        assert confining_interval(tasks, 0.0, 1.001 / L) is None
        F = mo.MAMLLoss(tasks, 0.999 / L)
        for w in np.geomspace(high, 100 * high, 60):
            assert F.gradient([w])[0] > 0 > F.gradient([-w])[0]


def test_sinusoids_without_convexity_far_out_have_no_known_reach_and_idle_tasks_do_not_count():
    assert confining_interval(mo.tasks.Sinusoid([0.5, 0.0], [1, 1], [1, 1]), 0.0, 0.1) is None
    assert confining_interval(mo.tasks.Sinusoid([0.5, -1.0], [1, 1], [1, 1]), 0.0, 0.1) is None
    # alpha L = 1 exactly: 1 - alpha f'' vanishes all along
    parabola = mo.tasks.Sinusoid([0.5], [0.0], [1.0])
    assert confining_interval(parabola, 0.0, 1.0) is None
    assert confining_interval(parabola, 0.0, 0.999) is not None
    idle = mo.tasks.Sinusoid([0.5, -1.0], [1, 1], [1, 90.0], [1.0, 0.0])
    assert confining_interval(idle, 0.0, 0.1)[1] == pytest.approx(1.001 * 1.0 + 1e-6)
    negative = mo.tasks.Sinusoid([0.5], [-3.0], [1.0])
    assert confining_interval(negative, 0.0, 0.1)[1] == pytest.approx(1.001 * 3.0 + 1e-6)


def test_quadratic_roots_lie_inside_for_every_alpha_of_a_range():
    rng = np.random.default_rng(8)
    for _ in range(20):
        h, b = rng.normal(size=3), 10 * rng.normal(size=3)
        weights = rng.dirichlet(np.ones(3))
        tasks = mo.tasks.Quadratic(h[:, None, None], b[:, None], None, weights)
        first = rng.uniform(0, 2)
        found = confining_interval(tasks, first, first + 0.02)
        alphas = np.linspace(first, first + 0.02, 50)
        factor = weights[:, None] * (1 - alphas * h[:, None]) ** 2
        G = (h[:, None] * factor).sum(0)
        roots = (b[:, None] * factor).sum(0) / G
        if found is None:
            assert np.abs(G).min() < 0.1
            continue
        assert (found[0] + 0.5 < roots).all()
        assert (roots < found[1] - 0.5).all()
        exact = confining_interval(tasks, first, first)
        assert exact[0] == pytest.approx(roots[0] - 1 - abs(roots[0]), rel=1e-9)
        assert exact[1] == pytest.approx(roots[0] + 1 + abs(roots[0]), rel=1e-9)
    one = mo.tasks.Quadratic([[[2.0]]], [[1.0]])
    assert confining_interval(one, 0.5, 0.5) is None  # F is constant
    assert confining_interval(one, 0.4, 0.6) is None  # and so it is for one of these


def test_other_families_have_no_known_reach():
    assert confining_interval(mo.tasks.Symbolic("w**2", "w"), 0.0, 0.1) is None
    assert confining_interval(mo.tasks.Quadratic([np.eye(2)], [[1.0, 2.0]]), 0.0, 0.1) is None
