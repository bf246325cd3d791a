"""Evaluations that may leave the floats, regions with their edges, and minimisers against closed forms."""

import math
import types

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

import maml_ode as mo
from maml_ode.theory import (
    Ball,
    Interval,
    Quantity,
    Status,
    Sublevel,
    budget,
    evaluation,
    minimizer,
)
from maml_ode.theory.certificates.of_a_point import local_minimum
from maml_ode.theory.certificates.setting import Setting
from maml_ode.theory.minimizer import expected_loss_minimizer, objective_minimizer
from maml_ode.theory.quantities import safe_side, worst
from maml_ode.theory.regions import enclosing_ball
from maml_ode.theory.step_size import one_step_alpha


def test_a_norm_beyond_the_squares():
    assert evaluation.norm(np.array([3e200, -4e200])) == pytest.approx(5e200, rel=1e-14)
    for tiny in ([3e-200, -4e-200], [3e-200, 0.0, -4e-200]):
        assert evaluation.norm(np.array(tiny)) == pytest.approx(5e-200, rel=1e-14, abs=0.0)
    assert evaluation.norm(np.array([3.0, -4.0])) == 5.0
    assert evaluation.norm(np.array([math.inf, 1.0])) == math.inf
    assert math.isnan(evaluation.norm(np.array([math.nan, 1.0])))
    assert evaluation.norm(np.zeros(2)) == 0.0
    assert evaluation.all_finite(1.0, np.zeros(2))
    assert not evaluation.all_finite(np.zeros(2), math.inf)
    assert not evaluation.all_finite(np.array([0.0, math.nan]))


def test_what_is_not_finite_comes_back_as_nan_of_the_right_shape():
    tasks = mo.tasks.Symbolic("exp(w) + v**2", "w v", {})
    w, v = np.array([1.0, 2.0]), np.array([1.0, 0.5])
    for point in (np.array([800.0, 0.0]), np.array([math.nan, 0.0])):
        for found, shape in (
            (evaluation.task_losses(tasks, point), (1,)),
            (evaluation.task_gradients(tasks, point), (1, 2)),
            (evaluation.task_hessians(tasks, point), (1, 2, 2)),
            (evaluation.task_products(tasks, point, v), (1, 2)),
            (evaluation.task_thirds(tasks, point, v), (1, 2)),
            (evaluation.objective_gradient(mo.ExpectedLoss(tasks), point), (2,)),
            (evaluation.objective_hessian(mo.ExpectedLoss(tasks), point), (2, 2)),
        ):
            assert found.shape == shape
            assert np.isnan(found).all()
        assert math.isnan(evaluation.objective_value(mo.ExpectedLoss(tasks), point))
    e = math.e
    assert evaluation.task_gradients(tasks, w) == pytest.approx(np.array([[e, 4.0]]), rel=1e-14)
    assert evaluation.task_hessians(tasks, w)[0] == pytest.approx(np.diag([e, 2.0]), rel=1e-14)
    assert evaluation.task_products(tasks, w, v)[0] == pytest.approx([e, 1.0], rel=1e-14)
    assert evaluation.task_thirds(tasks, w, v)[0] == pytest.approx([e, 0.0], rel=1e-14)


def test_extreme_eigenvalues_of_many_matrices():
    A = np.zeros((3, 3, 3))
    A[0] = [[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 2.5]]
    A[1, 0, 0], A[2] = math.nan, np.diag([5.0, -7.0, 1.0])
    found = evaluation.extreme_eigenvalues(A)
    assert found[[0, 2]] == pytest.approx(np.array([[1.0, 3.0], [-7.0, 5.0]]), rel=1e-14)
    assert np.isnan(found[1]).all()


def test_the_edges_of_regions_belong_to_them():
    ball = Ball([1.0, 1.0], 5.0)
    assert ball.contains([4.0, 5.0])
    assert not ball.contains([4.0, 5.001])
    assert Ball(2.0, 1.0).center.tolist() == [2.0]
    line = Interval(-1.0, 3.0)
    assert [line.contains([w]) for w in (-1.0, 3.0, 0.0, -1.001, 3.001)] == [1, 1, 1, 0, 0]
    for wrong in ((1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="lower must be less than upper"):
            Interval(*wrong)
    whole = Interval(-1, 3), Sublevel(2)
    assert [type(x) for x in (whole[0].lower, whole[0].upper, whole[1].level)] == [float] * 3
    for wrong in ((0.0, "1"), ("0", 1.0)):
        with pytest.raises(TypeError, match="lower" if wrong[0] == "0" else "upper"):
            Interval(*wrong)
    for refused in (lambda: Ball([0.0], 0.0), lambda: Sublevel(0.0)):
        with pytest.raises(ValueError, match=r"positive|greater"):
            refused()


def test_a_limit_of_time_holds_inside_and_ends_with_its_block(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(budget, "time", types.SimpleNamespace(monotonic=lambda: now[0]))

    def over(at):
        now[0] = at
        try:
            budget.check_time()
        except budget.OutOfTime:
            return True
        return False

    with budget.time_limit(2.0):
        assert [over(t) for t in (10.0, 12.0, 12.1)] == [False, False, True]
        now[0] = 11.0
        for seconds in (5.0, None):  # the outer limit still holds
            with budget.time_limit(seconds):
                assert [over(t) for t in (12.0, 12.1)] == [False, True]
        now[0] = 11.0
        with budget.time_limit(0.5):
            assert [over(t) for t in (11.5, 11.6)] == [False, True]
        assert not over(11.6)
    with budget.time_limit(None):
        assert not over(1e9)
    assert not over(1e9)
    with budget.time_limit(-1.0), pytest.raises(budget.OutOfTime):  # every evaluation looks
        evaluation.task_losses(mo.tasks.Quadratic([[[2.0]]], [[1.0]]), np.zeros(1))


def test_the_ball_about_a_region():
    around = enclosing_ball(Interval(-1.0, 3.0), None, 0.0)
    assert (around.center.tolist(), around.radius) == ([1.0], 2.0)
    ball = Ball([1.0], 2.0)
    assert enclosing_ball(ball, None, 0.0) is ball
    # mu |w|^2/2 <= c reaches sqrt(2 c/mu)
    for level, mu in ((9.0, 2.0), (2.25, 0.5)):
        around = enclosing_ball(Sublevel(level), np.array([1.0, 2.0]), mu)
        assert (around.center.tolist(), around.radius) == ([1.0, 2.0], 3.0)
    for point, mu in ((None, 1.0), (np.zeros(1), 0.0)):
        with pytest.raises(ValueError, match="strongly convex f"):
            enclosing_ball(Sublevel(1.0), point, mu)


def test_the_worst_of_some_statuses():
    assert worst() is Status.EXACT
    assert worst(Status.BOUND, Quantity(1.0)) is Status.BOUND
    assert worst(Quantity(1.0, "estimate"), Status.BOUND) is Status.ESTIMATE
    assert (safe_side(2.0, 2e-10, above=True), safe_side(2.0, 0.0, above=True)) == (2.0, 2.0)
    assert safe_side(2.0, 2.1e-10, above=True).status is Status.BOUND


def test_the_minimiser_of_a_smooth_f(monkeypatch):
    """From near and far, with matrices and with products only, against SciPy and closed forms."""
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(3, 12, 4)), np.sign(rng.normal(size=(3, 12)))
    logistic = mo.tasks.LogisticRegression(X, y, l2=0.1, weights=[0.5, 0.3, 0.2])
    f = mo.ExpectedLoss(logistic)
    wanted = minimize(f.value, np.zeros(4), jac=f.gradient, tol=1e-12).x
    steep = mo.tasks.Symbolic("log(cosh(w - c)) + w**2/1000", "w", {"c": [1.0, 3.0]})
    low = brentq(lambda w: 0.5 * (math.tanh(w - 1) + math.tanh(w - 3)) + w / 500, -9, 9, xtol=1e-14)
    for most in (minimizer.MATRIX_ONCE, 0):
        monkeypatch.setattr(minimizer, "MATRIX_ONCE", most)
        assert expected_loss_minimizer(logistic) == pytest.approx(wanted, abs=1e-7)
        for start in (None, [-30.0], [60.0]):
            origin = None if start is None else np.array(start)
            assert expected_loss_minimizer(steep, origin) == pytest.approx([low], abs=1e-7)
    found = expected_loss_minimizer(logistic, np.full(4, 20.0))
    assert np.linalg.norm(f.gradient(found)) <= 1e-13


@pytest.mark.parametrize("formula", ["exp(-w)", "exp(-w) + 1", "-w**2", "w", "w**3", "w**3 + 5"])
def test_an_f_without_a_minimiser_has_none(formula):
    assert expected_loss_minimizer(mo.tasks.Symbolic(formula, "w"), np.array([0.5])) is None


def test_minimisers_of_quadratics():
    tasks = mo.tasks.Quadratic(
        [np.diag([1.0, 2.0]), np.diag([3.0, 2.0])], [[1.0, 4.0], [3.0, 8.0]], weights=[0.25, 0.75]
    )
    assert expected_loss_minimizer(tasks) == pytest.approx([2.5 / 2.5, 7.0 / 2.0], rel=1e-14)
    for H in (np.diag([1.0, 0.0]), np.diag([1.0, -1.0])):
        assert expected_loss_minimizer(mo.tasks.Quadratic([H], [[1.0, 0.0]])) is None
    flat = mo.tasks.Symbolic("(w - 2)**4", "w")
    assert expected_loss_minimizer(flat, np.array([2.0])).tolist() == [2.0]


def test_a_local_minimiser_of_F_downhill_from_the_start():
    """f = (w^2 - 1)^2: two wells and a ridge, on which Newton's own step would climb."""
    wells = mo.ExpectedLoss(mo.tasks.Symbolic("(w**2 - 1)**2", "w"))
    for start, end in ((0.1, 1.0), (-0.1, -1.0), (0.6, 1.0), (3.0, 1.0)):
        assert objective_minimizer(wells, np.array([start])) == pytest.approx([end], abs=1e-9)
    # the ridge itself is left on one side or the other
    assert abs(objective_minimizer(wells, np.array([0.0]))[0]) == pytest.approx(1.0)
    assert objective_minimizer(wells, np.array([1.0])).tolist() == [1.0]
    assert objective_minimizer(wells, np.array([1e300])) is None  # F is not finite there
    two = mo.ExpectedLoss(mo.tasks.Symbolic("(x**2 - 1)**2 + 3*(y - x)**2 + cosh(y)", "x y"))
    start = np.array([0.2, -0.5])
    found, wanted = objective_minimizer(two, start), minimize(two.value, start, tol=1e-13).x
    assert np.linalg.norm(two.gradient(found)) <= 1e-7
    assert two.value(found) == pytest.approx(two.value(wanted), rel=1e-10)


def polynomial(coefficients):
    """Return one task in one variable; the coefficients from the constant on."""
    p = np.polynomial.Polynomial(coefficients)
    slope, bend = p.deriv(), p.deriv(2)
    return mo.tasks.from_callables(
        lambda i, w: p(w[0]), lambda i, w: slope(w), lambda i, w: bend(w)[None], n_tasks=1, dim=1
    )


def test_the_end_of_a_descent_on_a_polynomial_is_a_minimum_of_it_or_none():
    """f' = s prod (w - r)^m, so that every inflection and every minimum of f is known."""
    rng, found = np.random.default_rng(0), 0
    for _ in range(60):
        roots = np.sort(rng.choice(np.arange(-4, 5), rng.integers(1, 4), replace=False)) / 2
        powers, sign = rng.integers(1, 4, roots.size), rng.choice([1, 1, 1, -1])
        slope = np.polynomial.Polynomial([float(sign)])
        for root, power in zip(roots, powers, strict=True):
            slope *= np.polynomial.Polynomial([-root, 1.0]) ** int(power)
        beyond = [sign * (-1.0) ** powers[k + 1 :].sum() for k in range(roots.size)]
        lowest = roots[(powers % 2 == 1) & (np.array(beyond) > 0)]
        start = rng.choice([rng.uniform(-3, 3), rng.choice(roots)])
        end = expected_loss_minimizer(polynomial(slope.integ(k=rng.integers(-3, 4)).coef), [start])
        if end is None:  # it fell for ever: only where f does
            assert sign < 0 or powers.sum() % 2 == 0
        else:
            found += 1
            assert np.abs(end - lowest).min() < 1e-2  # the other rests are at least 1/2 away
    assert found > 25


@pytest.mark.parametrize(
    ("formula", "variables", "start", "ends"),
    [
        ("x**2 - y**2", "x y", [1.0, 0.0], None),
        ("x**2 + y**4 - y**2", "x y", [1.0, 0.0], [[0.0, 0.5**0.5], [0.0, -(0.5**0.5)]]),
        # the minimum of every straight line through it, and yet none: f < 0 on y = 2 x^2
        ("(y - x**2)*(y - 3*x**2)", "x y", [0.0, 0.0], None),
        # the cubic form x y z vanishes on the axes
        ("x*y*z + (x**2 + y**2 + z**2)**2", "x y z", [0.0, 0.0, 0.0],
         np.array([[-1, -1, -1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 12),
        ("(x - y)**2 + 3", "x y", [5.0, 1.0], [[3.0, 3.0]]),
    ],
    ids=["saddle", "saddle between wells", "Peano", "monkey", "valley"],
)  # fmt: skip
def test_no_saddle_is_taken_for_a_minimiser(monkeypatch, formula, variables, start, ends):
    tasks = mo.tasks.Symbolic(formula, variables)
    found = expected_loss_minimizer(tasks, np.array(start))
    assert (found is None) == (ends is None)
    if ends is not None:
        assert np.abs(found - ends).max(axis=1).min() <= 1e-7
    if formula.startswith("x**2"):  # by products alone as well
        monkeypatch.setattr(minimizer, "MATRIX_ONCE", 0)
        found = expected_loss_minimizer(tasks, np.array(start))
        assert (found is None) == (ends is None)
        assert found is None or np.abs(found - ends).max(axis=1).min() <= 1e-6


def test_what_asks_for_a_minimiser_says_where_none_was_found():
    cubic = mo.tasks.Symbolic("w**3", "w")
    with pytest.raises(ValueError, match="argmin f was not found"):
        mo.theory.switch_advice(cubic, 0.1, start=[0.5])
    k = mo.theory.constants(cubic, Interval(-1.0, 1.0))
    (missing,) = local_minimum(Setting(cubic, 0.1, k, np.array([0.5]), None, 1e-3)).hypotheses
    assert missing.name == "a local minimiser of F was found"


def test_the_theory_reads_one_inner_step():
    tasks = mo.tasks.Quadratic([[[2.0]], [[3.0]]], [[1.0], [0.0]])
    own = one_step_alpha(tasks, [[0.1], [0.2]])
    assert np.broadcast_to(own, (1, 2, 1)).ravel().tolist() == [0.1, 0.2]
    with pytest.raises(ValueError, match="alpha"):
        one_step_alpha(tasks, np.full((2, 2, 1), 0.1))  # of two steps


def one_variable(value, gradient=lambda w: 1.0):
    """Return f of a value and a gradient that need not be its own."""
    tasks = mo.tasks.from_callables(
        lambda i, w: value(w[0]), lambda i, w: np.array([gradient(w[0])]), lambda i, w: np.eye(1),
        n_tasks=1, dim=1,
    )  # fmt: skip
    return mo.ExpectedLoss(tasks)


@pytest.mark.parametrize(
    ("f", "moved"),
    [
        (one_variable(lambda w: 1e-4 * w), -1.0),  # as much as is asked for
        (one_variable(lambda w: 0.9e-4 * w), None),
        (one_variable(lambda w: 1.5e-4 * w if w >= -0.5 else 1.0), -0.5),  # of half of the step
        (one_variable(lambda w: 1.0), None),
        (one_variable(lambda w: -w, lambda w: 0.49), -1.0),
        (one_variable(lambda w: -w, lambda w: 0.5), None),
        (one_variable(lambda w: w if w >= -(2.0**-33) else 1.0), -(2.0**-33)),
        (one_variable(lambda w: w if w >= -(2.0**-34) else 1.0), None),
    ],
    ids=[
        "enough",
        "too little",
        "enough of half",
        "flat",
        "gradient halved",
        "not halved",
        "short",
        "too short",
    ],
)
def test_a_step_is_shortened_until_it_serves(f, moved):
    one = np.ones(1)
    found = minimizer._moved(f, np.zeros(1), f.value(np.zeros(1)), one, one)
    assert (None if found is None else found[0][0]) == moved


def test_a_minimiser_whose_hessian_is_infinite():
    """|w|^(3/2) rises from 0, which its values tell."""
    tasks = mo.tasks.from_callables(
        lambda i, w: abs(w[0]) ** 1.5, lambda i, w: 1.5 * np.sign(w) * np.sqrt(np.abs(w)),
        lambda i, w: np.array([[0.75 / math.sqrt(abs(w[0])) if w[0] else math.inf]]),
        n_tasks=1, dim=1,
    )  # fmt: skip
    assert expected_loss_minimizer(tasks, np.zeros(1)).tolist() == [0.0]


def test_newton_steps_with_a_matrix_and_by_products():
    def of(*diagonal):
        dim = len(diagonal)
        return mo.ExpectedLoss(mo.tasks.Quadratic([np.diag(diagonal)], np.zeros((1, dim))))

    w, g, eps = np.zeros(2), np.ones(2), np.finfo(float).eps
    for small, step, sure in ((0.0, 0.5 / eps, 0.0), (0.9e-10, 1 / 0.9e-10, 0.0), (1.1e-10, 1 / 1.1e-10, 1 / 1.1e-10), (-2.0, 0.5, 0.5)):  # fmt: skip  # noqa: E501
        found = minimizer._newton_step(of(1.0, small), w, g)
        # the largest |curvature| counts
        assert found[0] == pytest.approx([1.0, step], rel=1e-9)
        assert found[1] == pytest.approx([1.0, sure], rel=1e-9)
    by_products = minimizer._newton_step_by_products
    rng = np.random.default_rng(0)
    A = rng.normal(size=(9, 9))
    f = mo.ExpectedLoss(mo.tasks.Quadratic([A @ A.T], np.zeros((1, 9))))
    g = rng.normal(size=9)
    for unit in (1.0, 1e-250, 1e250):
        found = by_products(f, np.zeros(9), unit * g) / unit
        assert found == pytest.approx(np.linalg.solve(A @ A.T, g), rel=1e-6)
    assert by_products(of(2.0, 2.0), w, np.array([1.0, 0.0])).tolist() == [0.5, 0.0]
    # not beyond where it bends downwards, or not at all
    for diagonal, g, step in (((1.0, -1.0), [1.0, 1.0], [1.0, 1.0]), ((2.0, -1.0), [1.0, 0.1], [1.01 / 1.99, 0.101 / 1.99])):  # fmt: skip  # noqa: E501
        assert by_products(of(*diagonal), w, np.array(g)) == pytest.approx(step, rel=1e-12)


@pytest.mark.parametrize("most", [500, 0])
def test_nothing_is_warned_about_far_out_or_where_f_does_not_bend(monkeypatch, most):
    """Warnings are errors here; a plane, a valley and a saddle, from near and far."""
    monkeypatch.setattr(minimizer, "MATRIX_ONCE", most)
    for H, b, ends in (([0.0, 0.0], [0.0, 1.0], False), ([1.0, 0.0], [1.0, 0.0], True), ([1.0, 0.0], [0.0, 1.0], False), ([2.0, -2.0], [0.0, 0.0], False)):  # fmt: skip  # noqa: E501
        f = mo.ExpectedLoss(mo.tasks.Quadratic([np.diag(H)], [b]))
        for start in ([1.0, 1.0], [0.0, 1.0], [1e160, 1e160]):
            found = objective_minimizer(f, np.array(start))
            assert (found is not None) == ends or start[0] > 1.0
            assert found is None or np.abs(f.gradient(found)).max() <= 1e-6 * max(1.0, start[0])


def test_by_products_a_rest_is_looked_at_where_the_softest_curvature_changes():
    """x^4 + x^3 is flat at 0 and lower beside it; rounding makes the curvature there more than 0."""
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]

    def of(one, two):
        def every(i, w):
            x, y, z = Q @ w
            return one(x) + 3.0 * y * y + np.cosh(z)

        def slopes(i, w):
            x, y, z = Q @ w
            return Q.T @ np.array([two(x)[0], 6.0 * y, np.sinh(z)])

        def bends(i, w):
            x, _, z = Q @ w
            return Q.T @ np.diag([two(x)[1], 6.0, np.cosh(z)]) @ Q

        return mo.tasks.from_callables(every, slopes, bends, n_tasks=1, dim=3)

    quartic = of(lambda x: x**4 + x**3, lambda x: (4 * x**3 + 3 * x * x, 12 * x * x + 6 * x))
    start = Q.T @ np.array([1e-9, 1.0, 1.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minimizer, "MATRIX_ONCE", 0)
        found = expected_loss_minimizer(quartic, start)
    assert Q @ found == pytest.approx([-0.75, 0.0, 0.0], abs=1e-5)


def test_the_spectrum_by_products_and_the_rounding_of_a_value(monkeypatch):
    """Lanczos's method to the end is exact; a constant has its last digits, a line those of its argument."""
    monkeypatch.setattr(minimizer, "MATRIX_ONCE", 0)
    rng, eps = np.random.default_rng(3), np.finfo(float).eps
    roots = rng.normal(size=(2, 8, 8))
    H = roots + roots.swapaxes(1, 2)
    f = mo.ExpectedLoss(mo.tasks.Quadratic(H, rng.normal(size=(2, 8)), weights=[0.3, 0.7]))
    wanted = np.linalg.eigvalsh(0.3 * H[0] + 0.7 * H[1])
    values, vectors, images = minimizer._spectrum(f, rng.normal(size=8))
    assert values == pytest.approx(wanted, rel=1e-12)
    assert f.hessian(np.zeros(8)) @ vectors == pytest.approx(vectors * values, abs=1e-12)
    assert images == pytest.approx(vectors * values, abs=1e-12)
    # all is spanned by one vector
    ball = mo.ExpectedLoss(mo.tasks.Quadratic([3.0 * np.eye(5)], np.zeros((1, 5))))
    assert minimizer._spectrum(ball, np.zeros(5))[0] == pytest.approx([3.0], rel=1e-14)

    def of(*losses):
        tasks = mo.tasks.from_callables(
            lambda i, w: losses[i](w[0]), lambda i, w: np.zeros(1), lambda i, w: np.zeros((1, 1)),
            n_tasks=len(losses), dim=1,
        )  # fmt: skip
        return minimizer._rounding(mo.ExpectedLoss(tasks), np.full(1, 2.0))

    assert of(lambda w: 1e8) == pytest.approx(2e8 * eps, rel=1e-12)
    assert of(lambda w: 1e8, lambda w: -1e8) == pytest.approx(1e8 * eps, rel=1e-12)
    assert of(lambda w: 1e3 * w) == pytest.approx(8e3 * eps, rel=0.1)
    assert of(lambda w: 2e3 - 1e3 * w) == pytest.approx(4e3 * eps, rel=0.1)
    apart = mo.ExpectedLoss(
        mo.tasks.Symbolic("1000*(x - y)", "x y")
    )  # moved together it is the same
    assert minimizer._rounding(apart, np.full(2, 2.0)) == pytest.approx(8e3 * eps, rel=0.1)


def test_a_minimiser_is_sought_from_the_origin_or_from_where_one_says():
    """w^4 - 2 w^2 + w/4 falls from 0 to its minimiser near -1, and from 2 to the one near 1."""
    tasks = mo.tasks.Symbolic("w**4 - 2*w**2 + w/4", "w")
    low, _, high = np.sort(np.roots([4.0, 0.0, -4.0, 0.25]))
    assert expected_loss_minimizer(tasks) == pytest.approx([low], rel=1e-9)
    assert expected_loss_minimizer(tasks, np.array([2.0])) == pytest.approx([high], rel=1e-9)


def test_a_fall_is_seen_between_the_axes_and_close_by():
    """x^2 y - x y^2 is 0 on both axes; (y^2 - 1e-12)^2 has its wells a millionth from its hill."""
    for formula, start in (
        ("x**2*y - x*y**2 + (x**2 + y**2)**2", [0.0, 0.0]),
        ("x**2 + (y**2 - 1e-12)**2", [1.0, 0.0]),
    ):
        f = mo.ExpectedLoss(mo.tasks.Symbolic(formula, "x y"))
        found = objective_minimizer(f, np.array(start))
        H = f.hessian(found)
        assert np.linalg.eigvalsh(H)[0] > 0
        if start[0]:
            assert abs(found[1]) == pytest.approx(1e-6, rel=1e-3)
        else:
            assert f.value(found) < -1e-3
            assert np.linalg.norm(f.gradient(found)) < 1e-9
