"""Linear regression, logistic regression and support vector machines against their definitions."""

import functools
import pickle

import mpmath
import numpy as np
import pytest
import scipy.sparse
import sympy

import maml_ode as mo
from maml_ode.compiled import family as loops
from maml_ode.sizes import MATRIX_OF_THE_DATA

SMOOTHING = 0.1
SVM_LOSSES = ("hinge", "squared_hinge", "smooth_hinge", "smooth_squared_hinge")
LOSSES = ("squared", "logistic", *SVM_LOSSES)
RESULTS = ("losses", "gradients", "hessians", "hvps", "third", "third_vectors")


def build(loss, X, y, *, l2=0.0, reduction="mean", smoothing=SMOOTHING, weights=None):
    if loss == "squared":
        return mo.tasks.LinearRegression(X, y, reduction=reduction, weights=weights)
    if loss == "logistic":
        return mo.tasks.LogisticRegression(X, y, l2=l2, reduction=reduction, weights=weights)
    return mo.tasks.SVM(
        X, y, loss=loss, smoothing=smoothing, l2=l2, reduction=reduction, weights=weights
    )


def sample_loss(loss, prediction, y, s):
    """The loss of one sample, written as the documentation defines it."""
    m = 1 - y * prediction
    return {
        "squared": (y - prediction) ** 2,
        "logistic": sympy.log(1 + sympy.exp(-y * prediction)),
        "hinge": sympy.Piecewise((m, m > 0), (0, True)),
        "squared_hinge": sympy.Piecewise((m**2, m > 0), (0, True)),
        "smooth_hinge": s * sympy.log(1 + sympy.exp(m / s)),
        "smooth_squared_hinge": (s * sympy.log(1 + sympy.exp(m / s))) ** 2,
    }[loss]


@pytest.fixture(scope="module")
def terms_of(derivatives_of):
    """Return the oracle's terms for a loss on lists X, y."""

    @functools.cache
    def sample(loss, d):
        w, x, (y, s) = sympy.symbols(f"w:{d}"), sympy.symbols(f"x:{d}"), sympy.symbols("y s")
        prediction = sum(a * b for a, b in zip(w, x, strict=True))
        return derivatives_of(sample_loss(loss, prediction, y, s), w, (*x, y, s))

    @functools.cache
    def ridge(d):
        w = sympy.symbols(f"w:{d}")
        return derivatives_of(sum(a**2 for a in w) / 2, w)

    def terms(loss, X, y, reduction="mean", l2=0.0):
        tasks = []
        for X_i, y_i in zip(X, y, strict=True):
            n, d = X_i.shape
            with mpmath.workdps(50):
                scale = {"mean": 1 / mpmath.mpf(n), "half_mean": 1 / mpmath.mpf(2 * n), "sum": 1}
            rows = [(*x, label, SMOOTHING) for x, label in zip(X_i, y_i, strict=True)]
            task = [(scale[reduction], sample(loss, d), row) for row in rows]
            tasks.append([*task, (mpmath.mpf(l2), ridge(d), ())])
        return tasks

    return terms


def draw(loss, sizes, d, seed=1):
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, d)) for n in sizes]
    y = [rng.normal(size=n) if loss == "squared" else rng.choice([-1.0, 1.0], n) for n in sizes]
    return X, y, rng


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("sizes", "d", "reduction"),
    [((1,), 1, "mean"), ((1, 5, 8, 13), 3, "half_mean"), ((9, 17), 2, "sum"), ((3, 1), 2, "mean")],
)
def test_all_derivatives_equal_the_symbolic_ones(
    loss, sizes, d, reduction, terms_of, assert_matches
):
    X, y, rng = draw(loss, sizes, d)
    l2 = 0.0 if loss == "squared" or d == 3 else 0.3
    weights = rng.dirichlet(np.ones(len(sizes)))
    tasks = build(loss, X, y, l2=l2, reduction=reduction, weights=weights)
    terms = terms_of(loss, X, y, reduction, l2)
    assert_matches(tasks, terms, rng.normal(size=d))
    assert_matches(tasks, terms, rng.normal(size=(len(sizes), d)))
    np.testing.assert_array_equal(tasks.weights, weights)


@pytest.mark.parametrize("loss", LOSSES)
def test_all_derivatives_on_sparse_samples_equal_the_symbolic_ones(loss, terms_of, assert_matches):
    X, y, rng = draw(loss, (1, 6, 4), 3)
    for X_i in X:
        X_i[rng.random(X_i.shape) < 0.4] = 0.0
    X[1][2] = 0.0
    l2 = 0.0 if loss == "squared" else 0.3
    tasks = build(loss, [scipy.sparse.csc_array(X_i) for X_i in X], y, l2=l2)
    terms = terms_of(loss, X, y, l2=l2)
    assert_matches(tasks, terms, rng.normal(size=3))
    assert_matches(tasks, terms, rng.normal(size=(3, 3)))


@pytest.mark.parametrize("loss", LOSSES[1:])
@pytest.mark.parametrize("size", [3.0, 30.0, 70.0, 300.0, 700.0, 1e3, 1e5, 1e8])
def test_extreme_predictions_are_exact_sample_by_sample(loss, size, terms_of, assert_matches):
    # 900 digits, so that the oracle itself does not lose exp(-700) beside 1.
    X, y = [np.ones((1, 1))] * 4, [np.array([label]) for label in (-1.0, -1.0, 1.0, 1.0)]
    w = np.array([[-size], [size], [-size], [size]])
    assert_matches(build(loss, X, y), terms_of(loss, X, y), w, digits=900)


@pytest.mark.parametrize("loss", LOSSES[1:])
@pytest.mark.parametrize("smoothing", [1e-300, 1e-5, 1.0, 1e5])
def test_no_prediction_up_to_1e300_makes_a_nan(loss, smoothing):
    tasks = build(loss, [[[1.0]], [[1.0]]], [[1.0], [-1.0]], smoothing=smoothing)
    for size in (1e-300, 1.0, 1e10, 1e150, 1e154, 1e300):
        for w in ([size], [-size]):
            for name in RESULTS[:3]:
                assert not np.isnan(getattr(tasks, name)(w)).any()
            assert not np.isnan(tasks.third(w, [1.0])).any()
            assert not np.isnan(tasks.third_vectors(w, [1.0], [1.0])).any()
    wrong_side = build(loss, [[[1.0]]], [[-1.0]], smoothing=smoothing)
    if "squared" in loss:  # phi(1e300) = 1e600 is no float64, phi' is
        np.testing.assert_allclose(wrong_side.losses([1e150]), [1e300], rtol=1e-14)
        np.testing.assert_allclose(wrong_side.gradients([1e300]), [[2e300]], rtol=1e-14)
    else:
        np.testing.assert_array_equal(wrong_side.losses([1e300]), [1e300])
        np.testing.assert_array_equal(wrong_side.gradients([1e300]), [[1.0]])


def test_absent_ridge_term_does_not_turn_an_overflow_into_a_nan():
    tasks = mo.tasks.SVM([[[1.0]]], [[1]], loss="hinge")
    assert tasks.losses([1e200]) == 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_non_finite_point_is_not_taken_for_a_stationary_point(loss):
    # Solvers hand unchecked points to the compiled loops and look at what comes back.
    tasks = build(loss, [[[1.0]]], [[1.0]])
    value, gradient = np.zeros(1), np.zeros((1, 1))
    loops.losses(tasks.problem, np.full((1, 1), np.nan), value)
    assert np.isnan(value).all()
    for w in (np.nan, np.inf, -np.inf):
        loops.gradients(tasks.problem, np.full((1, 1), w), gradient)
        assert not np.isfinite(gradient).any()


def test_kinks_follow_the_documented_convention():
    on_margin = {"X": [[[1.0]]], "y": [[1]]}
    hinge = mo.tasks.SVM(**on_margin, loss="hinge", l2=0.5)
    assert hinge.gradients([1.0]) == 0.5
    assert hinge.hessians([1.0]) == hinge.hessians([0.0]) == 0.5
    assert hinge.hvps([0.0], [2.0]) == 1.0
    squared = mo.tasks.SVM(**on_margin)
    assert squared.gradients([1.0]) == 0.0
    assert squared.hessians([1.0]) == 0.0
    assert squared.hessians([np.nextafter(1.0, 0.0)]) == 2.0
    assert squared.third([0.0], [1.0]) == 0.0


def test_smoothness_is_that_of_the_loss():
    X, y, _ = draw("logistic", (2,), 2)
    level = mo.tasks.Smoothness
    assert [build(loss, X, y).smoothness for loss in LOSSES] == [
        level.SMOOTH,
        level.SMOOTH,
        level.CONTINUOUS,
        level.GRADIENT,
        level.SMOOTH,
        level.SMOOTH,
    ]
    # The jump that CONTINUOUS and GRADIENT announce: one derivative more changes across m = 0.
    hinge, squared = (build(loss, [[[1.0]]], [[1.0]]) for loss in SVM_LOSSES[:2])
    assert abs(hinge.gradients([1 - 1e-9]) - hinge.gradients([1 + 1e-9])) == 1.0
    assert abs(squared.gradients([1 - 1e-9]) - squared.gradients([1 + 1e-9])) < 1e-8
    assert abs(squared.hessians([1 - 1e-9]) - squared.hessians([1 + 1e-9])) == 2.0


@pytest.mark.parametrize("loss", LOSSES)
def test_ragged_tasks_equal_a_loop_over_single_tasks(loss):
    X, y, rng = draw(loss, (7, 1, 12, 3), 5)
    together = build(loss, X, y)
    w, v, q = rng.normal(size=(3, 4, 5))
    for i in range(4):
        alone = build(loss, [X[i]], [y[i]])
        for name, arguments in zip(RESULTS, [0, 0, 0, 1, 1, 2], strict=True):
            extra = (v, q)[:arguments]
            np.testing.assert_allclose(
                getattr(together, name)(w, *extra)[i],
                getattr(alone, name)(w[i], *(a[i] for a in extra))[0],
                rtol=1e-13,
                atol=1e-14,
            )


def test_stacked_array_and_nested_lists_give_the_same_family():
    rng = np.random.default_rng(5)
    X, y, w = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4)), rng.normal(size=2)
    families = [
        mo.tasks.LinearRegression(*data)
        for data in ((X, y), (list(X), tuple(y)), (X.tolist(), y.tolist()), (X[::-1][::-1], y))
    ]
    for family in families[1:]:
        np.testing.assert_array_equal(family.gradients(w), families[0].gradients(w))


def test_data_are_copied_once_and_exposed_read_only():
    X, y, _ = draw("logistic", (4, 6), 3)
    before = [a.copy() for a in (*X, *y)]
    tasks = mo.tasks.SVM(
        X, y, loss="smooth_hinge", smoothing=0.2, l2=0.5, reduction="sum", weights=[0.25, 0.75]
    )
    losses = tasks.losses(np.ones(3))
    assert (tasks.loss, tasks.smoothing, tasks.l2, tasks.reduction) == (
        "smooth_hinge",
        0.2,
        0.5,
        "sum",
    )
    assert tasks.n_samples == (4, 6)
    assert tasks.scales.tolist() == [1.0, 1.0]
    for view, original in zip((*tasks.X, *tasks.y), before, strict=True):
        np.testing.assert_array_equal(view, original)
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 0.0
    for name in ("X", "y", "loss", "smoothing", "l2", "reduction", "scales", "n_samples"):
        with pytest.raises(AttributeError):
            setattr(tasks, name, None)
    owners = {id(view.base) for view in (*tasks.X, *tasks.y)}
    assert len(owners) == 1
    assert tasks.X[0].base.nbytes < 1.5 * sum(a.nbytes for a in (*X, *y))
    for array in (*X, *y):
        array[:] = 7.0
    np.testing.assert_array_equal(tasks.losses(np.ones(3)), losses)


@pytest.mark.parametrize(("n", "d"), [(2, 100_000), (11, 9_000), (70, 1_000)])
def test_products_on_large_samples_equal_their_formulas(n, d):
    # A d x d matrix would take 80 GB in the first case; the others are read in several blocks.
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(1, n, d)) / np.sqrt(d), rng.choice([-1.0, 1.0], (1, n))
    tasks = mo.tasks.LogisticRegression(X, y, l2=0.1)
    w, v, q = rng.normal(size=(3, d))
    p = 1 / (1 + np.exp(y[0] * (X[0] @ w)))
    gradient = (-y[0] * p) @ X[0] / n + 0.1 * w
    hvp = (p * (1 - p) * (X[0] @ v)) @ X[0] / n + 0.1 * v
    third = (-y[0] * p * (1 - p) * (1 - 2 * p) * (X[0] @ v) * (X[0] @ q)) @ X[0] / n
    np.testing.assert_allclose(tasks.losses(w)[0], -np.log1p(-p).mean() + 0.05 * w @ w, rtol=1e-13)
    np.testing.assert_allclose(tasks.gradients(w)[0], gradient, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(tasks.hvps(w, v)[0], hvp, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(tasks.third_vectors(w, v, q)[0], third, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "half_mean", "sum"])
def test_linear_regression_knows_its_quadratic_terms(reduction, terms_of):
    X, y, _ = draw("squared", (3, 8), 3)
    terms = mo.tasks.LinearRegression(X, y, reduction=reduction).quadratic
    for i, task in enumerate(terms_of("squared", X, y, reduction)):
        with mpmath.workdps(50):
            orders = [
                [coefficient * order for order in derivatives(np.zeros(3), parameters)]
                for coefficient, derivatives, parameters in task
            ]
            value, gradient, hessian = (sum(order[k] for order in orders) for k in range(3))
        np.testing.assert_allclose(terms.c[i], float(value), rtol=1e-13)
        np.testing.assert_allclose(terms.b[i], -gradient.astype(float), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(terms.H[i], hessian.astype(float), rtol=1e-13, atol=1e-14)
        np.testing.assert_array_equal(terms.H[i], terms.H[i].T)


def test_quadratic_terms_are_formed_up_to_the_dimension_limit_only():
    d = MATRIX_OF_THE_DATA
    at_limit = mo.tasks.LinearRegression(np.ones((1, 1, d)), np.ones((1, 1)))
    above = mo.tasks.LinearRegression(np.ones((1, 1, d + 1)), np.ones((1, 1)))
    assert at_limit.quadratic.H.shape == (1, d, d)
    assert above.quadratic is None
    assert mo.tasks.LogisticRegression([[[1.0]]], [[1]]).quadratic is None


@pytest.mark.parametrize("loss", LOSSES)
def test_pickling_keeps_the_family_and_drops_the_native_handle(loss):
    X, y, rng = draw(loss, (2, 5), 3)
    l2 = 0.0 if loss == "squared" else 0.2
    tasks = build(loss, X, y, l2=l2, reduction="half_mean", weights=[0.25, 0.75])
    w, v = rng.normal(size=(2, 3))
    hvps = tasks.hvps(w, v)
    assert tasks.quadratic is None or tasks.quadratic.H.shape == (2, 3, 3)
    assert not {"problem", "quadratic"} & set(tasks.__getstate__())
    copy = pickle.loads(pickle.dumps(tasks))
    np.testing.assert_array_equal(copy.hvps(w, v), hvps)
    np.testing.assert_array_equal(copy.weights, tasks.weights)
    assert copy.smoothness is tasks.smoothness
    for array in (copy.X[0], copy.y[0], copy.scales, copy.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


X2, Y2 = np.ones((2, 3, 4)), np.ones((2, 3))
BAD_DATA = [
    (X2[0], Y2, ValueError, r"shape \(M, n, d\).*has shape \(3, 4\); write \[X\]"),
    (X2, Y2[0], ValueError, r"shape \(M, n\).*has shape \(3,\); write \[y\]"),
    (X2[None], Y2, ValueError, r"has shape \(1, 2, 3, 4\)\.$"),
    (X2, np.ones((2, 5)), ValueError, r"y\[0\] must have shape \(3,\).*\(3, 4\).*shape \(5,\)"),
    (list(X2), [np.ones(3), np.ones(2)], ValueError, r"y\[1\].*\(3,\).*\(3, 4\).*shape \(2,\)"),
    (list(X2), [np.ones((3, 1))] * 2, ValueError, r"\(3, 1\); use np\.ravel\(y\[0\]\)"),
    (list(X2), Y2[:1], ValueError, "X holds 2 and y holds 1"),
    ([X2[0], np.ones((3, 2))], Y2, ValueError, r"\(3, 4\) and X\[1\] has shape \(3, 2\)"),
    ([X2[0], np.ones(3)], Y2, ValueError, r"X\[1\] must have shape \(n_i, d\).*\(3,\).*reshape"),
    ([X2[0], np.ones((0, 4))], [Y2[0], []], ValueError, r"X\[1\].*\(0, 4\); leave empty tasks"),
    (np.ones((2, 3, 0)), Y2, ValueError, r"at least one sample and one feature.*\(3, 0\)"),
    ([], [], ValueError, "X must be .* but it holds no tasks"),
    ([[[1.0, 2.0], [3.0]]], [[1.0, 1.0]], ValueError, r"X\[0\] must be a rectangular array"),
    ([X2[0], np.full((3, 4), np.nan)], Y2, ValueError, r"X\[1\] must be finite.*X\[1\]\[0, 0\]"),
    (X2, np.full((2, 3), np.inf), ValueError, r"y\[0\] must be finite"),
    (X2.astype(complex), Y2, TypeError, r"X\[0\] must hold real numbers, not complex128"),
    ("X", Y2, TypeError, "X must be a sequence of arrays .* not 'X'"),
    ({0: X2[0]}, Y2, TypeError, "not a dict"),
    (3.0, Y2, TypeError, r"not 3\.0"),
]


@pytest.mark.parametrize(("X", "y", "error", "sentence"), BAD_DATA)
@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_bad_data_are_refused_in_a_sentence(loss, X, y, error, sentence):
    with pytest.raises(error, match=sentence):
        build(loss, X, y)


@pytest.mark.parametrize(
    ("keywords", "error", "sentence"),
    [
        ({"reduction": "average"}, ValueError, "unknown reduction 'average'.*'half_mean'"),
        ({"loss": "squared-hinge"}, ValueError, "unknown loss .* Did you mean 'squared_hinge'"),
        ({"smoothing": 0.0}, ValueError, "smoothing must be greater than 0, not 0"),
        ({"smoothing": -1.0}, ValueError, "smoothing must be greater than 0, not -1"),
        ({"l2": -0.1}, ValueError, "l2 must be at least 0, not -0.1"),
        ({"l2": np.nan}, ValueError, "l2 must be finite"),
        ({"l2": "strong"}, TypeError, "l2 must be one real number"),
        ({"weights": [0.5, 0.6]}, ValueError, "weights must sum to 1"),
        ({"y": np.zeros((2, 3))}, ValueError, r"y\[0\] must hold the labels .* use np\.where"),
        ({"y": np.full((2, 3), 2.0)}, ValueError, r"it holds 2; for one class"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(keywords, error, sentence):
    with pytest.raises(error, match=sentence):
        mo.tasks.SVM(**{"X": X2, "y": Y2, **keywords})
