"""Quadratic families against their definition."""

import copy
import pickle

import numpy as np
import pytest
import sympy

import maml_ode as mo


def draw(M, d, seed=0):
    rng = np.random.default_rng(seed)
    H = rng.normal(size=(M, d, d))
    return H + H.transpose(0, 2, 1), rng.normal(size=(M, d)), rng.normal(size=M), rng


@pytest.mark.parametrize(("M", "d"), [(1, 1), (3, 1), (1, 4), (3, 5)])
def test_all_derivatives_equal_the_symbolic_ones(M, d, derivatives_of, assert_matches):
    H, b, c, rng = draw(M, d)
    w = sympy.Matrix(sympy.symbols(f"w:{d}"))
    H_, b_ = sympy.Matrix(d, d, sympy.symbols(f"H:{d * d}")), sympy.symbols(f"b:{d}")
    c_ = sympy.Symbol("c")
    loss = (w.T * H_ * w)[0] / 2 - w.dot(sympy.Matrix(b_)) + c_
    oracle = derivatives_of(loss, list(w), (*H_, *b_, c_))
    terms = [[(1, oracle, (*H[i].ravel(), *b[i], c[i]))] for i in range(M)]
    tasks = mo.tasks.Quadratic(H, b, c, weights=rng.dirichlet(np.ones(M)))
    assert_matches(tasks, terms, rng.normal(size=d), rtol=1e-13)
    assert_matches(tasks, terms, rng.normal(size=(M, d)), rtol=1e-13)


def test_constants_default_to_zero_and_terms_are_the_data():
    H, b, _, _ = draw(2, 3)
    tasks = mo.tasks.Quadratic(H, b)
    np.testing.assert_array_equal(tasks.losses(np.zeros(3)), [0.0, 0.0])
    assert tasks.quadratic.H is tasks.H
    assert tasks.quadratic.b is tasks.b
    assert tasks.quadratic.c.tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(tasks.H, H)
    assert tasks.smoothness is mo.tasks.Smoothness.SMOOTH


def test_data_are_copied_and_read_only():
    H, b, c, _ = draw(2, 3)
    tasks = mo.tasks.Quadratic(H, b, c)
    gradients = tasks.gradients(np.ones(3))
    for array in (H, b, c):
        array[...] = 5.0
    np.testing.assert_array_equal(tasks.gradients(np.ones(3)), gradients)
    for array in (tasks.H, tasks.b, tasks.c, tasks.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_rounding_asymmetry_is_averaged_away():
    H = np.array([[[2.0, 1.0], [1.0 + 4e-16, 3.0]]])
    tasks = mo.tasks.Quadratic(H, np.zeros((1, 2)))
    np.testing.assert_array_equal(tasks.H[0], tasks.H[0].T)
    np.testing.assert_allclose(tasks.H, H, rtol=1e-15)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_are_the_same_family(copied):
    H, b, c, _ = draw(2, 3)
    tasks = mo.tasks.Quadratic(H, b, c, weights=[0.25, 0.75])
    losses, terms = tasks.losses(np.ones(3)), tasks.quadratic
    assert "problem" not in tasks.__getstate__()
    twin = copied(tasks)
    np.testing.assert_array_equal(twin.losses(np.ones(3)), losses)
    np.testing.assert_array_equal(twin.weights, [0.25, 0.75])
    np.testing.assert_array_equal(twin.quadratic.H, terms.H)
    for array in (twin.H, twin.b, twin.c, twin.weights, twin.quadratic.H):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((np.eye(2), np.ones((1, 2))), ValueError, r"H must have shape \(M, d, d\).*\(2, 2\)"),
        ((np.ones((1, 2, 3)), np.ones((1, 2))), ValueError, r"has shape \(1, 2, 3\)"),
        ((np.ones((0, 2, 2)), np.ones((0, 2))), ValueError, r"M, d >= 1.*\(0, 2, 2\)"),
        ((np.ones((1, 0, 0)), np.ones((1, 0))), ValueError, r"M, d >= 1.*\(1, 0, 0\)"),
        (([np.eye(2)], [[1.0, 2.0, 3.0]]), ValueError, r"b must have shape \(1, 2\).*\(1, 3\)"),
        (([np.eye(2)], np.ones((1, 2)), [1.0, 2.0]), ValueError, r"c must have .*\(1,\).*\(2,\)"),
        (([[[1.0, 2.0], [0.0, 1.0]]], np.ones((1, 2))), ValueError, r"H\[0\] must be symmetric"),
        (([[[np.nan]]], [[1.0]]), ValueError, "H must be finite"),
        (([[[1.0]]], [[1j]]), TypeError, "b must hold real numbers"),
        (([[[1.0]]], [[1.0]], None, [2.0]), ValueError, "weights must sum to 1"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        mo.tasks.Quadratic(*arguments)
