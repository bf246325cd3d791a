"""Kernels of the linear models at many points at once, with dense samples: products become matrix-matrix.

The losses, and the layout of the data, are those of ``linear_model``. Tape of so many points: [s phi''(t_j) of
every point (points, n) if asked for, predictions (points, n), a look].
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import types

from maml_ode.compiled.batches import BATCH_GRADIENT, BATCH_HVP, BATCH_SIZE, BatchedKernels
from maml_ode.compiled.contract import MATRIX
from maml_ode.compiled.decorators import inner, kernel_on_demand
from maml_ode.tasks.kernels.margin_losses import (
    LOGISTIC,
    LOOK_ROWS,
    SMOOTH_HINGE,
    loss_functions,
    softplus_slopes,
    softplus_slopes_and_curvatures,
)
from maml_ode.tasks.kernels.samples import COLUMNS, RIDGE, SAMPLES, sample_functions


@inner(types.void(SAMPLES, MATRIX, MATRIX))
def _predict(samples, W, out):
    """Set out = W X'."""
    X, _, d, form = samples
    n = out.shape[1]
    if form == COLUMNS:
        np.dot(W, X.reshape((d, n)), out)
    else:
        np.dot(W, X.reshape((n, d)).T, out)


@inner(types.void(SAMPLES, MATRIX, MATRIX))
def _accumulate(samples, C, out):
    """Set out = C X."""
    X, _, d, form = samples
    n = C.shape[1]
    if form == COLUMNS:
        np.dot(C, X.reshape((d, n)).T, out)
    else:
        np.dot(C, X.reshape((n, d)), out)


@inner(types.void(RIDGE, MATRIX, MATRIX))
def _add_ridge(ridge, V, out):
    """Add l2 D v to every row."""
    l2, penalized = ridge
    for b in range(V.shape[0]):
        for k in range(penalized):
            out[b, k] += l2 * V[b, k]


@kernel_on_demand(BATCH_SIZE)
def size(order, points, data):
    """Return the largest task's curvatures, predictions and look."""
    integers = data[1]
    n = 0
    for i in range(integers[0]):
        n = max(n, integers[5 + i] - integers[4 + i])
    return (order + 1) * points * n + LOOK_ROWS * n


def _gradient(kind: int) -> Any:
    phi, task = loss_functions(kind), sample_functions(False).task
    look, slopes, curvatures = phi.look, phi.slopes, phi.curvatures
    softplus = kind in (LOGISTIC, SMOOTH_HINGE)
    offset = 0.0 if kind == LOGISTIC else 1.0

    @kernel_on_demand(BATCH_GRADIENT)
    def gradient(i, W, order, data, tape, out):
        """Set the rows of out to s sum_j phi'(t_j) c_j x_j + l2 D w, and keep curvatures with order 1."""
        X, y, scale, ridge, smoothing = task(i, data)
        points, n = W.shape[0], y.size
        kept = order * points * n
        P = tape[kept : kept + points * n].reshape((points, n))
        seen = tape[kept + points * n : kept + points * n + LOOK_ROWS * n]
        _predict(X, W, P)
        for b in range(points):
            curvature = tape[b * n : (b + 1) * n]
            if softplus:
                if order > 0:
                    softplus_slopes_and_curvatures(offset, smoothing, scale, y, P[b], curvature)
                else:
                    softplus_slopes(offset, smoothing, scale, y, P[b])
            else:
                look(smoothing, P[b], y, seen)
                if order > 0:
                    curvatures(smoothing, scale, seen, curvature)
                slopes(smoothing, scale, y, seen, P[b])
        _accumulate(X, P, out)
        _add_ridge(ridge, W, out)

    return gradient


_task = sample_functions(False).task


@kernel_on_demand(BATCH_HVP)
def hvp(i, V, data, tape, out):
    """Set the rows of out to s sum_j phi''(t_j) (x_j'v) x_j + l2 D v."""
    X, y, _, ridge, _ = _task(i, data)
    points, n = V.shape[0], y.size
    curvature, flat = tape[: points * n], tape[points * n : 2 * points * n]
    P = flat.reshape((points, n))
    _predict(X, V, P)
    for j in range(points * n):
        flat[j] *= curvature[j]
    _accumulate(X, P, out)
    _add_ridge(ridge, V, out)


@cache
def kernels(kind: int) -> BatchedKernels:
    """Return the kernels of a loss at many points."""
    return BatchedKernels(size, _gradient(kind), hvp)
