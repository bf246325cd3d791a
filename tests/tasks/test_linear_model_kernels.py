"""grad F and its Hessian-vector product on linear models, against the definition in extended precision.

The oracle is NumPy on whole matrices in ``longdouble``. Beside every vector it carries the size that its sums
would have without their signs: rounding is a part of that, however much cancels.
"""

import pickle

import numpy as np
import pytest
import scipy.sparse

import maml_ode as mo
from maml_ode.compiled.fields import evaluate
from maml_ode.objectives.inner_loop import InnerSteps

EXACT = np.longdouble
SMOOTHING, L2 = 0.3, 0.2
LOSSES = ("squared", "logistic", "hinge", "squared_hinge", "smooth_hinge", "smooth_squared_hinge")
# What a result may be off, relative to the size of its sums: 4.5 times the spacing of float64.
BOUND = 1e-15


def phi(loss, p, y):
    """phi and its first three derivatives in the prediction p."""
    if loss == "squared":
        return (y - p) ** 2, 2 * (p - y), 2 + 0 * p, 0 * p
    t, s = (-y * p, EXACT(1)) if loss == "logistic" else (1 - y * p, EXACT(SMOOTHING))
    on = EXACT(t > 0)
    if loss == "hinge":
        return on * t, -y * on, 0 * t, 0 * t
    if loss == "squared_hinge":
        return on * t**2, -2 * y * on * t, 2 * on, 0 * t
    e = np.exp(-abs(t) / s)
    h = on * t + s * np.log1p(e)
    first = np.where(t > 0, 1, e) / (1 + e)
    second = e / (1 + e) ** 2 / s
    third = -second * np.tanh(t / (2 * s)) / s
    if loss == "smooth_squared_hinge":
        h, first, second, third = (
            h**2,
            2 * h * first,
            2 * (first**2 + h * second),
            2 * (3 * first * second + h * third),
        )
    return h, -y * first, second, -y * third


class Task:
    """f_i with products that return (value, size of the sums), for arguments of that form."""

    def __init__(self, loss, X, y, scale, l2):
        self.loss, self.X, self.y = loss, X.astype(EXACT), y.astype(EXACT)
        self.scale, self.l2 = EXACT(scale), np.broadcast_to(EXACT(l2), X.shape[1])

    def look(self, u):
        p, P = self.X @ u[0], abs(self.X) @ u[1]
        value, first, second, third = phi(self.loss, p, self.y)
        # A margin is off by a rounding of its terms, and with it every derivative.
        P += abs(self.y)
        sizes = abs(first) + abs(second) * P, abs(second) + abs(third) * P
        fourth = abs(third) * (1 + P / SMOOTHING)
        return value, (first, sizes[0]), (second, sizes[1]), (third, fourth)

    def spread(self, c, ridge):
        out = self.scale * self.X.T @ c[0], self.scale * abs(self.X).T @ c[1]
        return out[0] + self.l2 * ridge[0], out[1] + self.l2 * abs(ridge[1])

    def value(self, u):
        value = self.scale * self.look(u)[0].sum() + (self.l2 / 2 * u[0]) @ u[0]
        return value, value + abs(u[1]) @ self.gradient(u)[1]

    def gradient(self, u):
        return self.spread(self.look(u)[1], u)

    def hvp(self, u, v):
        along = self.X @ v[0], abs(self.X) @ v[1]
        c = self.look(u)[2]
        return self.spread((c[0] * along[0], c[1] * along[1]), v)

    def third(self, u, v, q):
        c = self.look(u)[3]
        value = c[0] * (self.X @ v[0]) * (self.X @ q[0])
        size = c[1] * (abs(self.X) @ v[1]) * (abs(self.X) @ q[1])
        none = 0 * u[0]
        return self.spread((value, size), (none, none))


def less(u, alpha, g):
    return u[0] - alpha * g[0], u[1] + alpha * g[1]


def maml_derivatives(support, query, p, w, v, alpha, count):
    """Value, grad F(w) and Hess F(w) v by their definitions, each with the size of its sums."""
    alpha = EXACT(alpha)
    totals = [[EXACT(0), EXACT(0)] for _ in range(3)]
    for f, g, weight in zip(support, query, p, strict=True):
        path, tangents = (
            [(w.astype(EXACT), abs(w).astype(EXACT))],
            [(v.astype(EXACT), abs(v).astype(EXACT))],
        )
        for _ in range(count):
            tangents.append(less(tangents[-1], alpha, f.hvp(path[-1], tangents[-1])))
            path.append(less(path[-1], alpha, f.gradient(path[-1])))
        q, b = g.gradient(path[-1]), g.hvp(path[-1], tangents[-1])
        for u, t in zip(path[-2::-1], tangents[-2::-1], strict=True):
            b = less(less(b, alpha, f.hvp(u, b)), alpha, f.third(u, t, q))
            q = less(q, alpha, f.hvp(u, q))
        for total, part in zip(totals, (g.value(path[-1]), q, b), strict=True):
            total[0], total[1] = total[0] + weight * part[0], total[1] + weight * part[1]
    return totals


def build(loss, X, y, weights, sparse=False, l2=L2, **options):
    data = [scipy.sparse.csr_array(X_i) for X_i in X] if sparse else X
    if loss == "squared":
        return mo.tasks.LinearRegression(data, y, weights=weights)
    if loss == "logistic":
        return mo.tasks.LogisticRegression(data, y, l2=l2, weights=weights, **options)
    settings = {"loss": loss, "smoothing": SMOOTHING, "l2": l2, "weights": weights}
    return mo.tasks.SVM(data, y, **settings, **options)


def draw(loss, sizes, d, rng, scale=1.0):
    X = [scale * rng.normal(size=(n, d)) / np.sqrt(d) for n in sizes]
    y = [rng.normal(size=n) if loss == "squared" else rng.choice([-1.0, 1.0], n) for n in sizes]
    l2 = 0.0 if loss == "squared" else L2 * scale**2
    return X, y, [Task(loss, X_i, y_i, 1 / len(y_i), l2) for X_i, y_i in zip(X, y, strict=True)]


def worst(family, query, oracle, w, v, alpha, count):
    """Return the largest error relative to the size of the sums."""
    loop = InnerSteps(family, query, alpha, count).loop
    got = loop.value(w), loop.gradient(w), loop.hvp(w, v)
    errors = []
    for result, (exact, size) in zip(got, oracle, strict=True):
        assert np.isfinite(result).all()
        errors.append(float((abs(result - exact) / np.where(size > 0, size, 1)).max()))
    out = np.empty(w.size)
    evaluate(loop.native_gradient_field(), w, out)
    np.testing.assert_array_equal(out, -got[1])  # whoever asks
    return max(errors)


SHAPES = [
    ((1,), 1),
    ((1, 4), 5),
    ((6, 5, 7), 6),
    ((40, 3, 17, 1), 9),
    ((300, 31), 20),
    ((33,), 130),
]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sparse", [False, True])
def test_maml_derivatives_are_those_of_the_definition(loss, sparse):
    rng = np.random.default_rng(LOSSES.index(loss))
    for sizes, d in SHAPES:
        for count in (0, 1, 3):
            X, y, tasks = draw(loss, sizes, d, rng)
            weights = rng.dirichlet(np.ones(len(sizes)))
            if len(sizes) > 2:
                weights[1], weights[0] = 0.0, weights[0] + weights[1]
            w, v = rng.normal(size=(2, d))
            oracle = maml_derivatives(tasks, tasks, weights, w, v, 0.3, count)
            family = build(loss, X, y, weights, sparse)
            assert worst(family, family, oracle, w, v, 0.3, count) < BOUND


@pytest.mark.parametrize("loss", LOSSES[1:])
@pytest.mark.parametrize("sparse", [False, True])
def test_the_ridge_leaves_out_an_intercept(loss, sparse):
    rng = np.random.default_rng(4)
    for d in (1, 4, 9):
        X, y, tasks = draw(loss, (6, 3), d, rng)
        for X_i, task in zip(X, tasks, strict=True):
            X_i[:, -1] = task.X[:, -1] = 1.0
            task.l2 = np.array([*[EXACT(L2)] * (d - 1), EXACT(0)])
        w, v = rng.normal(size=(2, d))
        oracle = maml_derivatives(tasks, tasks, [0.5, 0.5], w, v, 0.3, 2)
        family = build(loss, X, y, None, sparse, intercept=True)
        assert worst(family, family, oracle, w, v, 0.3, 2) < BOUND
        for hessian, other in zip(
            family.hessians(w), build(loss, X, y, None, sparse).hessians(w), strict=True
        ):
            np.testing.assert_allclose(other - hessian, np.diag([0.0] * (d - 1) + [L2]), atol=1e-15)
        assert family.identity != build(loss, X, y, None, sparse).identity
        np.testing.assert_array_equal(family.ridge, [L2] * (d - 1) + [0.0])


@pytest.mark.parametrize("power", [-9, -3, 3, 9])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_scale_of_the_data_does_not_matter(loss, power):
    rng = np.random.default_rng(power + 20)
    scale, sizes, d = 10.0**power, (50, 7), 12
    X, y, tasks = draw(loss, sizes, d, rng, scale)
    w, v = rng.normal(size=(2, d)) / scale
    alpha = 0.3 / scale**2
    oracle = maml_derivatives(tasks, tasks, [0.5, 0.5], w, v, alpha, 1)
    family = build(loss, X, y, None, l2=L2 * scale**2)
    assert worst(family, family, oracle, w, v, alpha, 1) < BOUND


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    ("loss", "query_loss"),
    [
        ("logistic", "smooth_squared_hinge"),
        ("squared", "logistic"),
        ("logistic", "quadratic"),
        ("quadratic", "logistic"),
    ],
)
def test_support_and_query_may_be_any_two_families(loss, query_loss, count):
    rng = np.random.default_rng(count)
    d, p = 6, np.array([0.25, 0.75])

    def family(name, sizes):
        X, y, tasks = draw("squared" if name == "quadratic" else name, sizes, d, rng)
        if name != "quadratic":
            return build(name, X, y, p), tasks
        H = [2 * X_i.T @ X_i / len(X_i) for X_i in X]
        b = [2 * X_i.T @ y_i / len(X_i) for X_i, y_i in zip(X, y, strict=True)]
        c = [y_i @ y_i / len(y_i) for y_i in y]
        return mo.tasks.Quadratic(H, b, c, weights=p), tasks

    support, tasks = family(loss, (9, 4))
    query, queries = family(query_loss, (3, 20))
    w, v = rng.normal(size=(2, d))
    oracle = maml_derivatives(tasks, queries, p, w, v, 0.2, count)
    assert worst(support, query, oracle, w, v, 0.2, count) < BOUND


@pytest.mark.parametrize(("n", "d"), [(5000, 40), (37, 3000)])
def test_samples_are_read_in_several_blocks(n, d):
    rng = np.random.default_rng(n)
    X, y, tasks = draw("logistic", (n,), d, rng)
    w, v = rng.normal(size=(2, d))
    oracle = maml_derivatives(tasks, tasks, [1.0], w, v, 0.3, 1)
    family = build("logistic", X, y, None)
    assert worst(family, family, oracle, w, v, 0.3, 1) < BOUND


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_number_comes_of_a_point_that_is_none(loss, sparse, bad):
    rng = np.random.default_rng(1)
    X, y, _ = draw(loss, (9, 2), 3, rng)
    family = build(loss, X, y, None, sparse)
    loop = InnerSteps(family, family, 0.3, 1).loop
    w, v = np.array([0.1, bad, 0.2]), np.array([1.0, 2.0, 3.0])
    assert not np.isfinite(loop.gradient(w)).all()
    assert not np.isfinite(loop.hvp(v, w)).all()
    if loss not in ("squared", "hinge", "squared_hinge"):
        assert not np.isfinite(loop.hvp(w, v)).all()


def test_dense_samples_are_seen_as_given_and_identified_by_what_they_are():
    rng = np.random.default_rng(0)
    X, y, _ = draw("logistic", (3, 4, 9), 4, rng)
    family = build("logistic", X, y, None)
    for view, X_i in zip(family.X, X, strict=True):
        np.testing.assert_array_equal(view, X_i)
    assert [view.flags.c_contiguous for view in family.X] == [True, True, False]
    assert family.identity == build("logistic", [X_i[::-1][::-1] for X_i in X], y, None).identity
    X[2][0], X[2][1] = X[2][1].copy(), X[2][0].copy()
    assert family.identity != build("logistic", X, y, None).identity


def test_features_and_samples_begin_on_a_line_of_the_cache_also_in_another_process():
    rng = np.random.default_rng(2)
    X, y, _ = draw("logistic", (35, 5, 8, 300), 8, rng)
    family = build("logistic", X, y, None)
    copy = pickle.loads(pickle.dumps(family))
    for model in (family, copy):
        for view, X_i in zip(model.X, X, strict=True):
            np.testing.assert_array_equal(view, X_i)
            rows = view.T if len(X_i) > 8 else view
            assert rows.ctypes.data % 64 == rows.strides[0] % 64 == 0
    w = rng.normal(size=8)
    np.testing.assert_array_equal(family.gradients(w), copy.gradients(w))
    assert family.identity == copy.identity


def test_what_fills_a_line_up_counts_nothing_at_an_infinite_point():
    # All margins are inf, where the hinge is flat: 0 times inf would make NaN of what is behind the samples.
    X, y = np.ones((1, 35, 3)), np.ones((1, 35))
    family = build("hinge", X, y, None, l2=0.0)
    w = np.array([0.0, np.inf, 0.0])
    gradient = InnerSteps(family, family, 0.3, 0).loop.gradient(w)
    np.testing.assert_array_equal(gradient[[0, 2]], 0.0)
    for loss in ("logistic", "squared_hinge", "smooth_hinge", "smooth_squared_hinge"):
        family = build(loss, X, y, None, l2=0.0)
        product = InnerSteps(family, family, 0.3, 0).loop.hvp(w, np.array([1.0, 2.0, 3.0]))
        np.testing.assert_array_equal(product, 0.0)
