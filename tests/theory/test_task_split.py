"""Proposition 3.1 as a reading, against quadrature of the averaged Hessians and against grad F."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.integrate import quad_vec

import maml_ode as mo

RNG = np.random.default_rng(0)
FAMILIES = {
    "logistic": mo.tasks.LogisticRegression(
        RNG.normal(size=(3, 8, 4)), np.sign(RNG.normal(size=(3, 8))), weights=[0.5, 0.3, 0.2]
    ),
    "sinusoid": mo.tasks.Sinusoid([0.505, 0.505], [1.0, 1e-2], [1.0, 10.0]),
    "formula": mo.tasks.Symbolic("x**4 + a*x*y + y**2*exp(-x)", "x y", {"a": [1.0, -0.5]}),
    "quadratic": mo.tasks.Quadratic(
        [np.diag([1.0, 3.0]), [[2.0, 1.0], [1.0, 2.0]]], [[1.0, 0.0], [0.0, -1.0]]
    ),
}


def by_quadrature(tasks, alpha, w):
    """E[B_i grad f_i] with the matrices B_i themselves."""
    total = np.zeros(tasks.dim)
    gradients, own = tasks.gradients(w), tasks.hessians(w)
    eye = np.eye(tasks.dim)
    for i, p in enumerate(tasks.weights):
        mean, _ = quad_vec(
            lambda s, i=i: tasks.hessians(w - s * alpha * gradients[i])[i],
            0.0,
            1.0,
            epsabs=1e-13,
            epsrel=1e-13,
        )
        B = eye - (eye - alpha * own[i]) @ (eye - alpha * mean)
        total += p * B @ gradients[i]
    return total


@pytest.mark.parametrize("name", FAMILIES)
def test_the_parts_are_those_of_the_averaged_hessians_and_their_sum_is_the_field(name):
    tasks, rng, alpha = FAMILIES[name], np.random.default_rng(1), 0.2
    F, f = mo.MAMLLoss(tasks, alpha), mo.ExpectedLoss(tasks)
    for w in rng.normal(size=(3, tasks.dim)):
        split = mo.theory.decompose(F, w)
        size = np.linalg.norm(f.gradient(w))
        np.testing.assert_allclose(
            split.correction, by_quadrature(tasks, alpha, w), atol=1e-11 * size
        )
        np.testing.assert_allclose(split.task_part, -f.gradient(w), atol=1e-14 * size)
        np.testing.assert_allclose(split.field, -F.gradient(w), atol=1e-13 * size)
        fomaml = mo.fields.FirstOrderField(tasks, alpha)(w)
        np.testing.assert_allclose(split.task_part + split.first_order, fomaml, atol=1e-13 * size)
        np.testing.assert_allclose(
            split.first_order + split.second_order, split.correction, atol=1e-15 * size
        )


def test_along_a_path_every_column_is_a_point():
    tasks = FAMILIES["logistic"]
    F = mo.MAMLLoss(tasks, 0.2)
    run = mo.solve(mo.maml_flow(tasks, 0.2), np.full(4, 0.5), t_max=3.0, tol=0.0)
    split = mo.theory.decompose(F, run.y)
    assert split.field.shape == run.y.shape
    assert split.angle.shape == run.t.shape
    np.testing.assert_allclose(np.linalg.norm(split.field, axis=0), run.grad_norm, rtol=1e-12)
    for k in (0, len(run) // 2, len(run) - 1):
        alone = mo.theory.decompose(F, run.y[:, k])
        np.testing.assert_array_equal(split.correction[:, k], alone.correction)
        np.testing.assert_array_equal(split.angle[k], alone.angle)


def test_the_angle_is_exact_where_it_is_small_and_nan_without_a_part():
    for angle in (1e-9, 0.3, np.pi / 2, np.pi - 1e-9):
        a, b = np.array([2.0, 0.0]), 1e-200 * np.array([np.cos(angle), np.sin(angle)])
        found = mo.theory.Decomposition(a, b, b, 0 * b).angle
        assert found == pytest.approx(angle, rel=1e-12, abs=0.0)
    # Parabolas of one curvature: MAML only slows joint training down.
    F = mo.MAMLLoss(mo.tasks.Quadratic([np.eye(2)] * 2, [[1.0, 0.0], [0.0, 1.0]]), 0.1)
    assert mo.theory.decompose(F, [2.0, -1.0]).angle == pytest.approx(np.pi)
    assert np.isnan(mo.theory.decompose(F, [0.5, 0.5]).angle)


def test_the_parts_are_drawn():
    F = mo.MAMLLoss(FAMILIES["quadratic"], 0.1)
    w = RNG.normal(size=(2, 5))
    split, t = mo.theory.decompose(F, w), np.linspace(0.0, 2.0, 5)
    axes = mo.plotting.plot_split(split, t)
    drawn = [line.get_ydata() for line in axes[0].get_lines()]
    for line, part in zip(drawn, (split.task_part, split.correction, split.field), strict=True):
        np.testing.assert_array_equal(line, np.linalg.norm(part, axis=0))
    np.testing.assert_array_equal(axes[1].get_lines()[0].get_ydata(), np.degrees(split.angle))
    np.testing.assert_array_equal(axes[1].get_lines()[0].get_xdata(), t)
    mo.plotting.plot_split(split, ax=axes)
    plt.close("all")
    with pytest.raises(ValueError, match="must be one along a path"):
        mo.plotting.plot_split(mo.theory.decompose(F, [1.0, 2.0]))
    with pytest.raises(TypeError, match="split must be a Decomposition"):
        mo.plotting.plot_split(w)
    with pytest.raises(ValueError, match=r"t must have shape \(5,\)"):
        mo.plotting.plot_split(split, [1.0])


def test_what_the_proposition_does_not_cover_is_refused():
    tasks = FAMILIES["quadratic"]
    with pytest.raises(ValueError, match="this one has 2 inner steps"):
        mo.theory.decompose(mo.MAMLLoss(tasks, 0.1, inner_steps=2), [1.0, 0.0])
    other = mo.tasks.Quadratic(tasks.H, tasks.b)
    with pytest.raises(ValueError, match="this one has a query family"):
        mo.theory.decompose(mo.MAMLLoss(tasks, 0.1, query=other), [1.0, 0.0])
    with pytest.raises(TypeError, match="objective must be a MAMLLoss"):
        mo.theory.decompose(mo.ExpectedLoss(tasks), [1.0, 0.0])
    with pytest.raises(ValueError, match=r"w must have shape \(2,\)"):
        mo.theory.decompose(mo.MAMLLoss(tasks, 0.1), [1.0])
    with pytest.raises(ValueError, match=r"w must have shape \(2, any\)"):
        mo.theory.decompose(mo.MAMLLoss(tasks, 0.1), np.zeros((3, 2)))
