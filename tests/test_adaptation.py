"""Adaptation curves against loops task by task, SciPy's interval and a counter of calls."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import maml_ode as mo


def logistic(M=5, seed=0, weights=None):
    rng = np.random.default_rng(seed)
    y = np.where(rng.random((M, 8)) < 0.5, -1.0, 1.0)
    return mo.tasks.LogisticRegression(rng.normal(size=(M, 8, 3)), y, l2=0.1, weights=weights)


W = np.array([0.5, -1.0, 2.0])


def test_losses_are_those_of_a_loop_task_by_task():
    tasks, query = logistic(), logistic(seed=1)
    curve = mo.meta_test(W, tasks, 0.3, steps=4, query=query)
    assert curve.losses.shape == (5, 5)
    for i in range(5):
        u = W.copy()
        for k in range(5):
            assert curve.losses[i, k] == pytest.approx(query.losses(u)[i], rel=1e-13)
            if k < 4:
                u = u - 0.3 * tasks.gradients(u)[i]
        np.testing.assert_allclose(curve.adapted[i], u, rtol=1e-13)
    own = mo.meta_test(W, tasks, 0.3)
    assert own.losses.shape == (5, 11)
    np.testing.assert_allclose(own.losses[:, 0], tasks.losses(W), rtol=1e-13)


@pytest.mark.parametrize("weights", [None, [0.1, 0.2, 0.3, 0.2, 0.2]])
def test_the_mean_is_the_maml_loss_by_inner_steps(weights):
    tasks, query = logistic(weights=weights), logistic(seed=1, weights=weights)
    mean = mo.meta_test(W, tasks, 0.3, steps=3, query=query).mean
    assert mean.shape == (4,)
    assert mean[0] == pytest.approx(mo.ExpectedLoss(query).value(W), rel=1e-13)
    for k in (1, 2, 3):
        F = mo.MAMLLoss(tasks, 0.3, inner_steps=k, query=query)
        assert mean[k] == pytest.approx(F.value(W), rel=1e-13)


def test_the_interval_is_students():
    curve = mo.meta_test(W, logistic(), 0.3, steps=3)
    for level in (0.5, 0.95, 0.99):
        low, high = curve.interval(level)
        for k in range(4):
            x = curve.losses[:, k]
            wanted = stats.t.interval(level, 4, loc=x.mean(), scale=stats.sem(x))
            assert (low[k], high[k]) == pytest.approx(wanted, rel=1e-12)


def test_the_interval_of_weighted_tasks_holds_the_mean_as_often_as_it_says():
    rng, p = np.random.default_rng(0), np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    held = 0
    for _ in range(2000):
        losses = rng.standard_normal((5, 1))
        low, high = mo.Adaptation(losses, p, 0.1, np.zeros((5, 1))).interval(0.9)
        held += bool(low[0] <= 0.0 <= high[0])
    # The mean and its variance depend on each other, which makes the interval a little too wide.
    assert 0.885 < held / 2000 < 0.94
    # A task without weight is no task.
    x = rng.standard_normal((6, 3))
    with_nothing = mo.Adaptation(x, np.append(p, 0.0), 0.1, np.zeros((6, 1))).interval()
    without = mo.Adaptation(x[:5], p, 0.1, np.zeros((5, 1))).interval()
    np.testing.assert_allclose(with_nothing, without, rtol=1e-13)


def test_there_is_one_inner_path_per_task():
    calls = {"losses": 0, "gradients": 0}
    full = logistic()

    def counted(name):
        def function(i, w):
            calls[name] += 1
            return getattr(full, name)(w)[i]

        return function

    tasks = mo.tasks.from_callables(counted("losses"), counted("gradients"), n_tasks=5, dim=3)
    curve = mo.meta_test(W, tasks, 0.3, steps=7)
    assert calls == {"losses": 5 * 8, "gradients": 5 * 7}
    np.testing.assert_allclose(curve.losses, mo.meta_test(W, full, 0.3, steps=7).losses, rtol=1e-12)


def test_tables_and_pictures_show_both_starts():
    tasks = logistic()
    curve, random = mo.meta_test(W, tasks, 0.3, steps=4), mo.meta_test(-5 * W, tasks, 0.3, steps=2)
    lines = curve.table(baseline=random).splitlines()
    assert lines[0].split() == ["step", "loss", "95%", "baseline", "95%"]
    assert len(lines) == 6
    assert f"{curve.mean[3]:.6g}" in lines[4]
    assert f"{random.mean[2]:.6g}" in lines[3]
    assert len(curve.table().splitlines()[0].split()) == 3

    ax = curve.plot(baseline=random, tasks=True)
    means = [line for line in ax.get_lines() if line.get_gid() == "mean"]
    np.testing.assert_array_equal(means[0].get_ydata(), curve.mean)
    np.testing.assert_array_equal(means[1].get_ydata(), random.mean)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "adapted from w",
        "random start",
    ]
    assert len(ax.collections) == 2
    low, high = curve.interval(0.95)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((low.min(), high.max()))
    assert curve.plot(ax, label="again").get_lines()[-1].get_color() not in {
        m.get_color() for m in means
    }
    plt.close("all")


def test_one_task_has_a_curve_and_no_interval():
    curve = mo.meta_test([1.0], mo.tasks.Quadratic([[[1.0]]], [[0.0]]), 0.5, steps=1)
    assert "0.125" in curve.table()
    assert not curve.plot().collections
    with pytest.raises(ValueError, match="at least two"):
        curve.interval()
    plt.close("all")
    two = mo.meta_test([1.0], mo.tasks.Quadratic([[[1.0]]] * 2, [[0.0], [1.0]]), 0.5, steps=1)
    low, high = two.interval()
    assert f"[{low[1]:.4g}, {high[1]:.4g}]" in two.table()
    nearly = mo.Adaptation(two.losses, np.array([1.0 - 1e-13, 1e-13]), 0.5, two.adapted)
    assert "[" not in nearly.table()


def test_a_diverging_task_is_infinite_without_a_word():
    tasks = mo.tasks.Quadratic([[[1.0]], [[1e200]]], [[0.0], [0.0]])
    curve = mo.meta_test([1.0], tasks, 1.0, steps=5)
    assert np.isfinite(curve.losses[0]).all()
    assert not np.isfinite(curve.losses[1, -1])
    assert not np.isfinite(curve.interval()[1][-1])


def test_what_does_not_fit_is_refused():
    tasks = logistic()
    assert mo.meta_test(W, tasks, 0.3, steps=0).losses.shape == (5, 1)
    with pytest.raises(ValueError, match="steps must be at least 0"):
        mo.meta_test(W, tasks, 0.3, steps=-1)
    with pytest.raises(ValueError, match=r"w must have shape \(3,\)"):
        mo.meta_test([1.0], tasks, 0.3)
    with pytest.raises(TypeError, match="tasks must be a task family"):
        mo.meta_test(W, None, 0.3)
    curve = mo.meta_test(W, tasks, 0.3)
    with pytest.raises(ValueError, match="level must be less than 1"):
        curve.interval(95)
    with pytest.raises(TypeError, match="baseline must be an Adaptation"):
        curve.plot(baseline=tasks)
