"""What all task families share: points, shapes, weights, and light imports."""

import subprocess
import sys

import numpy as np
import pytest

import maml_ode as mo

M, D = 3, 2


def families():
    rng = np.random.default_rng(0)
    H = rng.normal(size=(M, D, D))
    H = H + H.transpose(0, 2, 1)
    b, X = rng.normal(size=(M, D)), rng.normal(size=(M, 5, D))
    y = rng.choice([-1.0, 1.0], (M, 5))
    return {
        "Quadratic": mo.tasks.Quadratic(H, b),
        "LinearRegression": mo.tasks.LinearRegression(X, y),
        "LogisticRegression": mo.tasks.LogisticRegression(X, y),
        "SVM": mo.tasks.SVM(X, y, loss="smooth_squared_hinge"),
        "callables": mo.tasks.from_callables(
            lambda i, w: np.sum(np.sin(w + b[i])),
            lambda i, w: np.cos(w + b[i]),
            lambda i, w: np.diag(-np.sin(w + b[i])),
            n_tasks=M,
            dim=D,
            thirds=lambda i, w, v: np.diag(-np.cos(w + b[i]) * v),
        ),
    }


FAMILIES = families()
EVALUATIONS = {
    "losses": (1, (M,)),
    "gradients": (1, (M, D)),
    "hessians": (1, (M, D, D)),
    "hvps": (2, (M, D)),
    "third": (2, (M, D, D)),
    "third_vectors": (3, (M, D)),
}


@pytest.fixture(params=list(FAMILIES))
def tasks(request):
    return FAMILIES[request.param]


@pytest.mark.parametrize("name", EVALUATIONS)
def test_one_point_per_task_equals_one_call_per_task(tasks, name):
    count, shape = EVALUATIONS[name]
    method = getattr(tasks, name)
    rows = np.random.default_rng(1).normal(size=(count, M, D))
    together = method(*rows)
    assert together.shape == shape
    assert together.dtype == np.float64
    assert together.flags.c_contiguous
    assert together.flags.writeable
    for i in range(M):
        np.testing.assert_array_equal(together[i], method(*rows[:, i])[i])
    # Points and directions may be shared independently of each other.
    for shared in range(count):
        mixed = [row[1] if k == shared else row for k, row in enumerate(rows)]
        full = [np.tile(row[1], (M, 1)) if k == shared else row for k, row in enumerate(rows)]
        np.testing.assert_array_equal(method(*mixed), method(*full))


def test_arguments_are_not_modified_and_results_are_fresh(tasks):
    w, v = np.array([0.5, -1.0]), np.array([[1.0, 2.0]] * M)
    first = tasks.hvps(w, v)
    kept = first.copy()
    first[:] = 0.0
    np.testing.assert_array_equal(tasks.hvps(w, v), kept)
    assert w.tolist() == [0.5, -1.0]
    assert v.tolist() == [[1.0, 2.0]] * M


def test_any_real_array_is_a_point(tasks):
    expected = tasks.gradients([1.0, -2.0])
    for w in (
        (1, -2),
        np.array([1, -2], dtype=np.int8),
        np.array([1.0, -2.0], dtype=np.float32),
        np.array([[1.0, 9.0], [-2.0, 9.0]])[:, 0],
        np.asfortranarray([[1.0, -2.0]] * M),
    ):
        np.testing.assert_array_equal(tasks.gradients(w), expected)


@pytest.mark.parametrize(
    ("bad", "error", "sentence"),
    [
        (1.0, ValueError, r"shape \(2,\) .* or \(3, 2\) .*has shape \(\)"),
        (np.ones(3), ValueError, r"shape \(2,\), but it has shape \(3,\)"),
        (np.ones((2, 2)), ValueError, r"\(2,\) .* or \(3, 2\) .* has shape \(2, 2\)"),
        (np.ones((1, 2)), ValueError, r"has shape \(1, 2\)"),
        (np.ones((3, 2, 1)), ValueError, r"has shape \(3, 2, 1\)"),
        ([0.0, np.nan], ValueError, r"be finite, but \w\[1\] is nan"),
        ([[0.0, 0.0], [0.0, np.inf], [0.0, 0.0]], ValueError, r"but \w\[1, 1\] is inf"),
        ([1j, 0.0], TypeError, r"hold real numbers, but \w\[0\] is 1j"),
        (["a", "b"], TypeError, r"hold real numbers, but \w\[0\] is 'a'"),
    ],
)
def test_bad_points_name_the_argument_and_both_shapes(tasks, bad, error, sentence):
    for name, (count, _) in EVALUATIONS.items():
        for position, argument in enumerate("wvq"[:count]):
            arguments = [np.ones(D)] * count
            arguments[position] = bad
            with pytest.raises(error, match=f"^{argument} must .*{sentence}"):
                getattr(tasks, name)(*arguments)


def test_weights_default_to_uniform_and_are_read_only(tasks):
    np.testing.assert_array_equal(tasks.weights, np.full(M, 1 / 3))
    with pytest.raises(ValueError, match="read-only"):
        tasks.weights[0] = 1.0
    assert f"n_tasks={M}, dim={D}" in repr(tasks)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([0.5, 0.5], r"weights must have shape \(1,\), but it has shape \(2,\)"),
        ([0.9], "weights must sum to 1, but they sum to 0.9; pass weights / np.sum"),
        ([np.nan], "weights must be finite"),
    ],
)
def test_bad_weights_are_refused(weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        mo.tasks.Sinusoid([1.0], [1.0], [1.0], weights=weights)
    with pytest.raises(ValueError, match=r"must not be negative, but weights\[1\] is -0\.5"):
        mo.tasks.Sinusoid([1.0] * 2, [1.0] * 2, [1.0] * 2, weights=[1.5, -0.5])


def test_a_scalar_is_a_point_in_one_dimension():
    tasks = mo.tasks.Sinusoid([1.0, 2.0], [0.0, 0.0], [1.0, 1.0])
    np.testing.assert_array_equal(tasks.losses(3.0), [9.0, 18.0])
    np.testing.assert_array_equal(tasks.hvps(3.0, 2.0), [[4.0], [8.0]])


CONSTRUCT = """
import sys
import numpy as np
import maml_ode as mo

X, y = np.ones((2, 3, 2)), np.ones((2, 3))
mo.tasks.Quadratic(np.eye(2)[None], np.ones((1, 2)))
mo.tasks.LinearRegression(X, y).quadratic
mo.tasks.LogisticRegression(X, y)
mo.tasks.SVM(X, y)
mo.tasks.Sinusoid([1.0], [1.0], [1.0])
tasks = mo.tasks.from_callables(lambda i, w: 0.0, lambda i, w: 0 * w, n_tasks=2, dim=2)
tasks.gradients([1.0, 2.0])
heavy = {"numba", "scipy", "sympy", "sklearn", "matplotlib", "pandas"}
print(sorted(heavy & set(sys.modules)))
"""


def test_building_families_imports_nothing_heavy():
    run = subprocess.run(
        [sys.executable, "-c", CONSTRUCT], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
