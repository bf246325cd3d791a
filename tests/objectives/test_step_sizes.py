"""Inner step sizes as values: what is taken, of whom which one is, and how they are written."""

import numpy as np
import pytest

from maml_ode.objectives.step_sizes import (
    checked_alpha,
    key_of,
    largest_size,
    of_steps,
    of_tasks,
    written,
)

K, M, D = 2, 3, 4
NUMBERS = np.arange(1.0, 1.0 + K * M * D).reshape(K, M, D)


@pytest.mark.parametrize(
    "shape", [(D,), (1, D), (M, 1), (M, D), (K, 1, 1), (1, M, 1), (K, M, D), (1, 1, 1)]
)
def test_every_step_and_task_has_what_broadcasting_gives_it(shape):
    given = NUMBERS.ravel()[: np.prod(shape)].reshape(shape)
    alpha = checked_alpha(given, K, M, D)
    assert alpha.shape == shape
    full = np.broadcast_to(given, (K, M, D))
    steps = of_steps(alpha, K)
    assert len(steps) == K
    chosen = np.array([2, 0, 2])
    some = of_steps(of_tasks(alpha, chosen), K)
    for k in range(K):
        assert steps[k].ndim <= 2
        np.testing.assert_array_equal(np.broadcast_to(steps[k], (M, D)), full[k])
        np.testing.assert_array_equal(np.broadcast_to(some[k], (M, D)), full[k][chosen])


def test_a_number_is_everybodys():
    for given in (0.5, np.float32(0.5), np.array(0.5)):
        alpha = checked_alpha(given, K, M, D)
        assert type(alpha) is float
        assert (of_steps(alpha, 3), of_tasks(alpha, [0, 0]), key_of(alpha)) == ([0.5] * 3, 0.5, 0.5)
    for text in ("0.5", b"0.5", bytearray(b"0.5")):
        with pytest.raises(TypeError, match="alpha must be one real number, not"):
            checked_alpha(text, K, M, D)


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((M,), r"\(3,\); for one number a task pass np.reshape\(alpha, \(-1, 1\)\)\.$"),
        ((K,), r"\(2,\); for one number an inner step pass np.reshape\(alpha, \(-1, 1, 1\)\)\.$"),
        ((1,), r"it has shape \(1,\)\.$"),
        ((M, M), r"it has shape \(3, 3\)\.$"),
        ((M, K, 1), r"it has shape \(3, 2, 1\)\.$"),
        ((1, K, M, D), r"it has shape \(1, 2, 3, 4\)\.$"),
    ],
)
def test_other_shapes_are_refused_with_a_hint(shape, hint):
    with pytest.raises(ValueError, match=hint):
        checked_alpha(np.ones(shape), K, M, D)


def test_how_large_they_are_and_how_they_are_written():
    alpha = np.array([0.5, -3.0, 1.0])
    assert (largest_size(alpha), largest_size(-2.0)) == (3.0, 2.0)
    assert written(0.25) == "0.25"
    assert written(np.arange(6.0).reshape(2, 3)) == "[[0, 1, 2], [3, 4, 5]]"
    assert written(np.arange(7.0)) == "<0 to 6, shape (7,)>"
    assert key_of(alpha) == key_of(alpha.copy()) != key_of(alpha[:, np.newaxis])
    assert key_of(alpha) != key_of(-alpha)
