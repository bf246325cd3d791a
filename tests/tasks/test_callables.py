"""Families made of Python functions, on f_i(w) = (x_i'w)^4."""

import pickle

import numpy as np
import pytest
import sympy

import maml_ode as mo

X = np.random.default_rng(3).normal(size=(3, 2))
W = np.array([0.3, -1.2])
V = np.array([0.7, 0.4])
Q = np.array([-1.1, 0.5])


def loss(i, w):
    return (X[i] @ w) ** 4


def gradient(i, w):
    return 4 * (X[i] @ w) ** 3 * X[i]


def hessian(i, w):
    return 12 * (X[i] @ w) ** 2 * np.outer(X[i], X[i])


def hvp(i, w, v):
    return 12 * (X[i] @ w) ** 2 * (X[i] @ v) * X[i]


def third(i, w, v):
    return 24 * (X[i] @ w) * (X[i] @ v) * np.outer(X[i], X[i])


def third_vector(i, w, v, q):
    return 24 * (X[i] @ w) * (X[i] @ v) * (X[i] @ q) * X[i]


def per_task(function):
    return [lambda *args, i=i: function(i, *args) for i in range(3)]


def build(losses=loss, gradients=gradient, **keywords):
    return mo.tasks.from_callables(losses, gradients, **{"n_tasks": 3, "dim": 2, **keywords})


@pytest.mark.parametrize(
    "form", [lambda function: function, per_task, lambda f: tuple(per_task(f))]
)
@pytest.mark.parametrize(
    "given",
    [
        {"hessians": hessian, "hvps": hvp, "thirds": third, "third_vectors": third_vector},
        {"hessians": hessian, "thirds": third},
        {"hvps": hvp, "third_vectors": third_vector},
    ],
)
def test_every_way_to_give_the_derivatives_equals_the_symbolic_ones(
    form, given, derivatives_of, assert_matches
):
    functions = {"losses": loss, "gradients": gradient, **given}
    tasks = build(**{name: form(function) for name, function in functions.items()})
    w, x = sympy.symbols("w:2"), sympy.symbols("x:2")
    oracle = derivatives_of((w[0] * x[0] + w[1] * x[1]) ** 4, w, x)
    terms = [[(1, oracle, row)] for row in X]
    assert_matches(tasks, terms, W)
    assert_matches(tasks, terms, np.outer([1.0, -2.0, 0.5], W) + 0.1)
    assert tasks.problem is None
    assert tasks.has_hvps
    assert tasks.has_thirds


def test_one_task_of_one_variable():
    tasks = mo.tasks.from_callables(
        [lambda w: w[0] ** 3],
        [lambda w: 3 * w**2],
        [lambda w: [[6 * w[0]]]],
        n_tasks=1,
        dim=1,
        third_vectors=[lambda w, v, q: 6 * v * q],
    )
    assert tasks.losses(2.0) == 8.0
    assert tasks.gradients([2.0]) == 12.0
    assert tasks.hvps([2.0], [3.0]) == 36.0
    assert tasks.third([2.0], [3.0]) == 18.0
    assert tasks.third_vectors([2.0], [3.0], [5.0]) == 90.0


@pytest.mark.parametrize("asked", ["hessians", "hvps", "third", "third_vectors"])
def test_a_missing_derivative_names_the_argument_to_give(asked):
    tasks = build()
    assert not tasks.has_hvps
    assert not tasks.has_thirds
    arguments = {"hessians": [W], "hvps": [W, V], "third": [W, V], "third_vectors": [W, V, Q]}
    argument = "thirds" if asked == "third" else asked
    sentence = f"pass {argument}= .*from_callables"
    with pytest.raises(mo.tasks.MissingDerivative, match=sentence):
        getattr(tasks, asked)(*arguments[asked])


class Counter:
    """Count the calls of a function task by task."""

    def __init__(self, function):
        self.function = function
        self.calls = [0, 0, 0]

    def __call__(self, i, *arguments):
        self.calls[i] += 1
        return self.function(i, *arguments)


def test_each_function_is_called_once_per_task_and_pass():
    counters = {
        name: Counter(function)
        for name, function in {
            "losses": loss,
            "gradients": gradient,
            "hessians": hessian,
            "hvps": hvp,
            "thirds": third,
            "third_vectors": third_vector,
        }.items()
    }
    tasks = build(**counters)
    assert all(counter.calls == [0, 0, 0] for counter in counters.values())
    for k in range(1, 4):
        tasks.losses(W)
        tasks.gradients(np.tile(W, (3, 1)))
        tasks.hessians(W)
        tasks.hvps(W, V)
        tasks.third(W, V)
        tasks.third_vectors(W, V, Q)
        assert all(counter.calls == [k, k, k] for counter in counters.values())


def test_derived_products_call_once_and_derived_matrices_once_per_variable():
    matrices = {"hessians": Counter(hessian), "thirds": Counter(third)}
    tasks = build(**matrices)
    tasks.hvps(W, V)
    tasks.third_vectors(W, V, Q)
    assert [counter.calls for counter in matrices.values()] == [[1, 1, 1]] * 2
    products = {"hvps": Counter(hvp), "third_vectors": Counter(third_vector)}
    tasks = build(**products)
    tasks.hessians(W)
    tasks.third(W, V)
    assert [counter.calls for counter in products.values()] == [[2, 2, 2]] * 2


def test_functions_cannot_corrupt_the_points_nor_results_each_other():
    shared = np.zeros(2)

    def destructive(i, w):
        shared[:] = gradient(i, w)
        w[:] = np.nan
        return shared

    tasks = build(gradients=destructive)
    w = W.copy()
    np.testing.assert_array_equal(tasks.gradients(w), [gradient(i, W) for i in range(3)])
    np.testing.assert_array_equal(w, W)


def test_non_finite_results_and_exceptions_pass_through():
    def fail(i, w):
        raise FloatingPointError("the user's own")

    tasks = build(losses=lambda i, w: [np.nan, np.inf, 1.0][i], gradients=fail)
    np.testing.assert_array_equal(tasks.losses(W), [np.nan, np.inf, 1.0])
    with pytest.raises(FloatingPointError, match="the user's own"):
        tasks.gradients(W)


@pytest.mark.parametrize(
    ("keywords", "evaluate", "error", "sentence"),
    [
        ({"losses": lambda i, w: w}, "losses", ValueError, r"losses of task 0 .*\(\),.*\(2,\)"),
        (
            {"gradients": lambda i, w: w if i < 2 else w[:1]},
            "gradients",
            ValueError,
            r"gradients of task 2 must return shape \(2,\), but it returned shape \(1,\)",
        ),
        ({"hessians": lambda i, w: w}, "hessians", ValueError, r"hessians .*\(2, 2\).*\(2,\)"),
        (
            {"gradients": lambda i, w: None},
            "gradients",
            TypeError,
            r"result of gradients of task 0 must hold real numbers, not None",
        ),
        (
            {"gradients": lambda i, w: w * 1j},
            "gradients",
            TypeError,
            "gradients of task 0 must hold real numbers, not complex128",
        ),
        (
            {"gradients": lambda i, w: [[1], 2]},
            "gradients",
            ValueError,
            "gradients of task 0 must be a rectangular array",
        ),
    ],
)
def test_wrong_results_name_the_function_and_the_task(keywords, evaluate, error, sentence):
    with pytest.raises(error, match=sentence):
        getattr(build(**keywords), evaluate)(W)


@pytest.mark.parametrize(
    ("keywords", "error", "sentence"),
    [
        ({"losses": [loss] * 2}, ValueError, "losses must hold n_tasks=3 callables.* holds 2"),
        ({"hvps": [hvp, 1, hvp]}, TypeError, r"hvps\[1\] must be callable, not int"),
        ({"gradients": 3}, TypeError, "gradients must be a callable .* of 3 callables, not int"),
        ({"gradients": "abc"}, TypeError, "not str"),
        ({"thirds": {}}, TypeError, "thirds must be a callable .*not dict"),
        ({"losses": None}, TypeError, "losses must be a callable .*not NoneType"),
        ({"n_tasks": 0}, ValueError, "n_tasks must be at least 1"),
        ({"dim": 2.0}, TypeError, "dim must be an integer"),
        ({"weights": [1.0]}, ValueError, r"weights must have shape \(3,\).*\(1,\)"),
        ({"smoothness": 3}, TypeError, "smoothness must be a member of .*Smoothness, not 3"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(keywords, error, sentence):
    with pytest.raises(error, match=sentence):
        build(**keywords)


def test_weights_and_smoothness_are_kept_through_pickling():
    kink = mo.tasks.Smoothness.GRADIENT
    tasks = build([loss1, loss1, loss1], weights=[0.5, 0.3, 0.2], smoothness=kink, hvps=hvp)
    copy = pickle.loads(pickle.dumps(tasks))
    assert copy.smoothness is kink
    assert copy.weights.tolist() == [0.5, 0.3, 0.2]
    np.testing.assert_array_equal(copy.hvps(W, V), tasks.hvps(W, V))


def loss1(w):
    return loss(1, w)
