"""Functions that are called once for all tasks, on f_i(w) = (x_i'w)^4."""

import pickle

import numpy as np
import pytest

import maml_ode as mo

X = np.random.default_rng(3).normal(size=(3, 2))
W, V, Q = np.array([0.3, -1.2]), np.array([0.7, 0.4]), np.array([-1.1, 0.5])


def dot(U):
    return (X * U).sum(axis=1)


def losses(W):
    return dot(W) ** 4


def gradients(W):
    return 4 * dot(W)[:, None] ** 3 * X


def hessians(W):
    return 12 * dot(W)[:, None, None] ** 2 * X[:, :, None] * X[:, None, :]


def hvps(W, V):
    return 12 * (dot(W) ** 2 * dot(V))[:, None] * X


def thirds(W, V):
    return 24 * (dot(W) * dot(V))[:, None, None] * X[:, :, None] * X[:, None, :]


def third_vectors(W, V, Q):
    return 24 * (dot(W) * dot(V) * dot(Q))[:, None] * X


PRODUCTS = {"hvps": hvps, "third_vectors": third_vectors}
MATRICES = {"hessians": hessians, "thirds": thirds}


def build(**given):
    keywords = {"losses": losses, "gradients": gradients, **given}
    return mo.tasks.from_callables(**keywords, n_tasks=3, dim=2, batched=True)


def one_by_one(**given):
    """The same losses, task by task: the earlier form, which shares nothing but the formulas."""

    def of_task(function):
        def call(i, *arguments):
            return function(*(np.tile(a, (3, 1)) for a in arguments))[i]

        return call

    functions = {"losses": losses, "gradients": gradients, **given}
    return mo.tasks.from_callables(
        **{name: of_task(f) for name, f in functions.items()}, n_tasks=3, dim=2
    )


@pytest.mark.parametrize("given", [PRODUCTS, MATRICES, PRODUCTS | MATRICES])
@pytest.mark.parametrize("rows", [False, True])
def test_every_way_to_give_the_derivatives_equals_the_tasks_one_by_one(given, rows):
    tasks, other = build(**given), one_by_one(**PRODUCTS, **MATRICES)
    w, v, q = (np.outer([1.0, -2.0, 0.5], a) + 0.1 if rows else a for a in (W, V, Q))
    for name, arguments in (
        ("losses", (w,)),
        ("gradients", (w,)),
        ("hessians", (w,)),
        ("hvps", (w, v)),
        ("third", (w, v)),
        ("third_vectors", (w, v, q)),
    ):
        ours, theirs = (np.asarray(getattr(t, name)(*arguments)) for t in (tasks, other))
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)
        assert ours.flags.writeable
    F, G = mo.MAMLLoss(tasks, 0.01, inner_steps=2), mo.MAMLLoss(other, 0.01, inner_steps=2)
    np.testing.assert_allclose(F.gradient(W), G.gradient(W), rtol=1e-13)
    np.testing.assert_allclose(F.hessian(W), G.hessian(W), rtol=1e-12)
    assert mo.check_derivatives(tasks).ok


class Counter:
    """Count the calls of a function, and see that it is given one row a task."""

    def __init__(self, function):
        self.function = function
        self.calls = 0

    def __call__(self, *rows):
        assert all(r.shape == (3, 2) and r.flags.writeable for r in rows)
        self.calls += 1
        return self.function(*rows)


def test_one_call_for_all_tasks_and_the_counts_are_those_of_an_outside_counter():
    counters = {
        name: Counter(function)
        for name, function in {
            "losses": losses,
            "gradients": gradients,
            **PRODUCTS,
            **MATRICES,
        }.items()
    }
    tasks = build(**counters)
    for verb, arguments in ((mo.solve, {"t_max": 0.5}), (mo.euler, {"step_size": 0.01})):
        for counter in counters.values():
            counter.calls = 0
        run = verb(mo.maml_flow(tasks, 0.01, inner_steps=2), 0.2 * W, **arguments)
        for kind in counters:
            said = getattr(run.counts, kind) + getattr(run.counts.diagnostics, kind)
            assert counters[kind].calls == said, (verb, kind)
        assert counters["hvps"].calls > 10


def test_functions_cannot_corrupt_the_points_nor_the_results_each_other():
    shared = np.zeros((3, 2))

    def destructive(W):
        shared[:] = gradients(W)
        assert W.flags.c_contiguous
        W[:] = np.nan
        return shared

    tasks = build(gradients=destructive)
    w = W.copy()
    first = tasks.gradients(w)
    tasks.gradients(2 * w)
    np.testing.assert_array_equal(first, gradients(np.tile(W, (3, 1))))
    np.testing.assert_array_equal(w, W)


@pytest.mark.parametrize(
    ("given", "evaluate", "error", "sentence"),
    [
        (
            {"losses": lambda W: losses(W)[:2]},
            "losses",
            ValueError,
            r"losses must return shape \(3,\) for points of shape \(3, 2\), but it returned shape \(2,\)",
        ),
        (
            {"gradients": lambda W: gradients(W)[0]},
            "gradients",
            ValueError,
            r"gradients must return shape \(3, 2\).*returned shape \(2,\).*once for all tasks",
        ),
        ({"hessians": gradients}, "hessians", ValueError, r"\(3, 2, 2\).*\(3, 2\)"),
        ({"gradients": lambda W: W * 1j}, "gradients", TypeError, "gradients must hold real"),
    ],
)
def test_wrong_results_name_both_shapes(given, evaluate, error, sentence):
    with pytest.raises(error, match=sentence):
        getattr(build(**given), evaluate)(W)


def test_wrong_arguments_and_missing_derivatives_are_told_of():
    with pytest.raises(TypeError, match=r"losses must be one callable .*batched=True, not a list"):
        build(losses=[losses] * 3)
    with pytest.raises(TypeError, match="batched must be True or False"):
        mo.tasks.from_callables(losses, gradients, n_tasks=3, dim=2, batched=1)
    tasks = build()
    for asked, arguments in (("hvps", [W, V]), ("third_vectors", [W, V, Q])):
        with pytest.raises(mo.tasks.MissingDerivative, match=f"pass {asked}= .*from_callables"):
            getattr(tasks, asked)(*arguments)


def test_a_pickle_holds_what_is_batched():
    copy = pickle.loads(pickle.dumps(build(**PRODUCTS)))
    np.testing.assert_array_equal(copy.hvps(W, V), hvps(np.tile(W, (3, 1)), np.tile(V, (3, 1))))
