"""Families restricted to some of their tasks: the same losses, the weights made to sum to 1."""

import pickle

import numpy as np
import pytest
import scipy.sparse

import maml_ode as mo
from maml_ode.tasks.base import TaskFamily

RNG = np.random.default_rng(3)
M, D = 4, 3
X = [RNG.normal(size=(n, D)) for n in (2, 5, 3, 4)]
Y = [np.where(np.arange(len(X_i)) % 2, 1.0, -1.0) for X_i in X]
P = np.array([0.1, 0.2, 0.3, 0.4])
B = RNG.normal(size=(M, D))


class OnlyWhole(TaskFamily):
    """A family of a user's, which knows of no subsets: f_i(w) = sum_k (w_k - b_ik)^4/4."""

    def _losses(self, w):
        return ((w - B) ** 4).sum(axis=1) / 4

    def _gradients(self, w):
        return (w - B) ** 3

    def _hessians(self, w):
        return 3 * np.einsum("md,de->mde", (w - B) ** 2, np.eye(D))

    def _hvps(self, w, v):
        return 3 * (w - B) ** 2 * v

    def _thirds(self, w, v):
        return 6 * np.einsum("md,de->mde", (w - B) * v, np.eye(D))

    def _third_vectors(self, w, v, q):
        return 6 * (w - B) * v * q


def callables(several):
    functions = {
        "losses": lambda i, w: float(((w - B[i]) ** 4).sum() / 4),
        "gradients": lambda i, w: (w - B[i]) ** 3,
        "hvps": lambda i, w, v: 3 * (w - B[i]) ** 2 * v,
        "third_vectors": lambda i, w, v, q: 6 * (w - B[i]) * v * q,
    }
    if several:
        functions = {
            name: [lambda *points, f=f, i=i: f(i, *points) for i in range(M)]
            for name, f in functions.items()
        }
    return mo.tasks.from_callables(**functions, n_tasks=M, dim=D, weights=P)


H = [A @ A.T for A in RNG.normal(size=(M, D, D))]
SPARSE = [scipy.sparse.csr_array(np.where(abs(X_i) > 0.5, X_i, 0.0)) for X_i in X]
FAMILIES = {
    "Quadratic": mo.tasks.Quadratic(H, B, RNG.normal(size=M), P),
    "Sinusoid": mo.tasks.Sinusoid(B[:, 0], B[:, 1], B[:, 2], P),
    "LinearRegression": mo.tasks.LinearRegression(X, Y, "half_mean", P),
    "LogisticRegression": mo.tasks.LogisticRegression(X, Y, 0.3, "sum", P, intercept=True),
    "SVM": mo.tasks.SVM(SPARSE, Y, "smooth_squared_hinge", 0.4, 0.2, "sum", P),
    "Symbolic": mo.tasks.Symbolic("a*exp(x*y) + b*x", "x y", {"a": B[:, 0], "b": B[:, 1]}, P),
    "from_callables": callables(several=False),
    "from_callables, one each": callables(several=True),
    "a user's class": OnlyWhole(M, D, P),
}


def everything(family, w, v, q):
    return (
        family.losses(w),
        family.gradients(w),
        family.hessians(w),
        family.hvps(w, v),
        family.third(w, v),
        family.third_vectors(w, v, q),
    )


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "chosen", [[2], [3, 0, -3], [1, 1, 3, 1], slice(1, None, 2), [True, False, False, True]]
)
def test_a_subset_is_the_same_losses(name, chosen):
    whole = FAMILIES[name]
    rows = np.arange(M)[chosen]
    some = whole.subset(np.array(chosen) if isinstance(chosen, list) else chosen)
    assert (some.n_tasks, some.dim, some.smoothness) == (len(rows), whole.dim, whole.smoothness)
    np.testing.assert_allclose(some.weights, P[rows] / P[rows].sum(), rtol=1e-15)
    rng = np.random.default_rng(0)
    # Every task at a point of its own: a task that is named twice stands at two.
    w, v, q = rng.normal(size=(3, len(rows), whole.dim))
    for k, i in enumerate(rows):
        alone = everything(whole, w[k], v[k], q[k])
        for got, expected in zip(everything(some, w, v, q), alone, strict=True):
            np.testing.assert_allclose(got[k], expected[i], rtol=1e-14, atol=0)
    for got, expected in zip(
        everything(some, w[0], v[0], q[0]), everything(whole, w[0], v[0], q[0]), strict=True
    ):
        np.testing.assert_allclose(got, expected[rows], rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "name", [name for name in FAMILIES if "from" not in name and "user" not in name]
)
def test_a_subset_is_a_family_of_its_own(name):
    whole = FAMILIES[name]
    some, same = whole.subset([1, 2]), whole.subset([0, 1, 2, 3])
    assert type(some) is type(whole)
    assert some.problem is not None
    assert same.identity == whole.identity != some.identity
    nested, direct = whole.subset([3, 2, 1]).subset([1, 2]), whole.subset([2, 1])
    np.testing.assert_allclose(nested.weights, direct.weights, rtol=1e-15)
    np.testing.assert_array_equal(
        nested.losses(0.1 * np.ones(whole.dim)), direct.losses(0.1 * np.ones(whole.dim))
    )
    assert pickle.loads(pickle.dumps(some)).identity == some.identity
    F, w = mo.MAMLLoss(some, 0.1), np.full(whole.dim, 0.3)
    terms = [mo.MAMLLoss(whole.subset([i]), 0.1).gradient(w) for i in (1, 2)]
    np.testing.assert_allclose(F.gradient(w), (2 * terms[0] + 3 * terms[1]) / 5, rtol=1e-12)


def test_a_start_goes_with_the_tasks():
    whole = OnlyWhole(M, D, P)
    whole.w0 = np.ones(D)
    some = pickle.loads(pickle.dumps(whole.subset([1, 2])))
    assert mo.Experiment(some, 0.1).w0.tolist() == [1.0] * D
    assert not hasattr(some, "unravel")


def test_only_the_chosen_tasks_are_called():
    seen = []
    tasks = mo.tasks.from_callables(
        lambda i, w: 0.0, lambda i, w: seen.append(i) or w, n_tasks=9, dim=1
    )
    tasks.subset([7, 2, 7]).subset([2, 1]).gradients([1.0])
    assert seen == [7, 2]


@pytest.mark.parametrize(
    ("indices", "error", "match"),
    [
        (1, ValueError, r"write \[1\] for a single task"),
        ([4], ValueError, "between -4 and 3, but there is 4"),
        ([-5], ValueError, "between -4 and 3"),
        ([0.0], TypeError, "integers, a mask"),
        ("all", TypeError, "indices must hold real numbers"),
        (None, TypeError, "indices must hold real numbers"),
        (np.ma.array([0, 1], mask=[False, True]), ValueError, "no masked entry"),
        ([[0], [1, 2]], ValueError, "rows differ in length"),
        ([True, False], ValueError, r"must have shape \(4,\)"),
        ([False] * 4, ValueError, "no task at all"),
        ([], ValueError, "no task at all"),
        (slice(5, 9), ValueError, "no task at all"),
        (slice(0.5), TypeError, "slice of integers"),
        ([[0, 1]], ValueError, "one-dimensional"),
    ],
)
def test_what_names_no_tasks_is_refused(indices, error, match):
    with pytest.raises(error, match=match):
        FAMILIES["Sinusoid"].subset(indices)


def test_tasks_without_weight_are_no_family():
    tasks = mo.tasks.Sinusoid([1.0, 2.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="weight 0 alone"):
        tasks.subset([1])
    np.testing.assert_array_equal(tasks.subset([1, 0]).weights, [0.0, 1.0])
