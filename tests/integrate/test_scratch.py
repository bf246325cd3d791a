"""What compiled gradients work on: room on the stack, more than it holds, and data whose maker is gone."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import maml_ode as mo
from maml_ode.compiled.fields import affine_field, evaluate
from maml_ode.compiled.scratch import ROOM


def matrices(dim: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(dim)
    factors = rng.normal(size=(count, dim, dim)) / np.sqrt(dim)
    return factors @ factors.transpose(0, 2, 1), rng.normal(size=(count, dim))


def gradient(H: np.ndarray, b: np.ndarray, w: np.ndarray, alpha: float, steps: int) -> np.ndarray:
    """Return grad F by its closed form, A^k' (H u_k - b), for uniform weights."""
    total = np.zeros(w.size)
    for matrix, vector in zip(H, b, strict=True):
        u = w
        for _ in range(steps):
            u = u - alpha * (matrix @ u - vector)
        A = np.linalg.matrix_power(np.eye(w.size) - alpha * matrix, steps)
        total += A @ (matrix @ u - vector) / len(H)
    return total


# Two points of a path fill the room, and three do not: both sides of every choice of it.
@pytest.mark.parametrize("dim", [1, 3, ROOM // 2, ROOM // 2 + 1, ROOM + 1])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_gradient_is_the_same_in_and_out_of_the_room_on_the_stack(dim: int, steps: int) -> None:
    H, b = matrices(dim, 3)
    w = np.random.default_rng(1).normal(size=dim)
    F = mo.MAMLLoss(mo.tasks.Quadratic(H, b), 0.2, inner_steps=steps, aggregate=False)
    np.testing.assert_allclose(
        F.gradient(w), gradient(H, b, w, 0.2, steps), rtol=1e-11, atol=1e-12 * np.abs(b).max()
    )


def overwrite_what_is_free(size: int) -> None:
    for _ in range(50):
        np.full(size, np.nan)


def test_a_field_keeps_the_data_of_a_family_that_is_gone() -> None:
    H, b = matrices(20, 5)
    w, out = np.linspace(-1.0, 1.0, 20), np.empty(20)
    tasks = mo.tasks.Quadratic(H, b)
    handle = mo.maml_flow(tasks, 0.1, aggregate=False).phases[0].field.native
    del tasks
    gc.collect()
    overwrite_what_is_free(H.size + b.size + len(b))
    overwrite_what_is_free(len(b))
    evaluate(handle, w, out)
    np.testing.assert_allclose(out, -gradient(H, b, w, 0.1, 1), rtol=1e-11)


def test_an_affine_field_keeps_its_matrix() -> None:
    (K,), (k,) = matrices(20, 1)
    w, out = np.linspace(-1.0, 1.0, 20), np.empty(20)
    expected = k - K @ w
    handle = affine_field(K, k)
    del K, k
    gc.collect()
    overwrite_what_is_free(400)
    overwrite_what_is_free(20)
    evaluate(handle, w, out)
    np.testing.assert_allclose(out, expected, rtol=1e-12)
