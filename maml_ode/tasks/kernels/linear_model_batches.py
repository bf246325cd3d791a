"""Kernels of the linear models at many points at once, with dense samples: products become matrix-matrix.

The losses, and the layout of the data, are those of ``linear_model``. Tape of so many points, from its
first line on: [s phi''(t_j) of every point (points, width) if asked for, predictions (points, width), a look].
The width is n rounded up, as the samples are stored.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import types

from maml_ode.compiled.batches import BATCH_GRADIENT, BATCH_HVP, BATCH_SIZE, BatchedKernels
from maml_ode.compiled.contract import INDEX, MATRIX
from maml_ode.compiled.decorators import inner, kernel_on_demand
from maml_ode.tasks.dense_samples import LINE
from maml_ode.tasks.kernels.margin_losses import LOOK_ROWS, loss_functions
from maml_ode.tasks.kernels.samples import (
    RIDGE,
    SAMPLES,
    on_lines,
    sample_functions,
    whole_lines,
)


@inner(types.void(SAMPLES, MATRIX, MATRIX))
def _predict(samples, W, out):
    """Set out = W X'."""
    X, _, _, d, width = samples
    if width > d:
        np.dot(W, X.reshape((d, width)), out)
    else:
        np.dot(W, X.reshape((out.shape[1], d)).T, out)


@inner(types.void(SAMPLES, MATRIX, MATRIX))
def _accumulate(samples, C, out):
    """Set out = C X."""
    X, _, _, d, width = samples
    if width > d:
        np.dot(C, X.reshape((d, width)).T, out)
    else:
        np.dot(C, X.reshape((C.shape[1], d)), out)


@inner(types.void(MATRIX, INDEX))
def _fill_up(P, n):
    """Set the columns from n on to 0."""
    for b in range(P.shape[0]):
        for j in range(n, P.shape[1]):
            P[b, j] = 0.0


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
    return LINE + ((order + 1) * points + LOOK_ROWS) * whole_lines(n)


def _gradient(kind: int) -> Any:
    phi, task = loss_functions(kind), sample_functions(False).task
    look, slopes, derivatives = phi.look, phi.slopes, phi.derivatives

    @kernel_on_demand(BATCH_GRADIENT)
    def gradient(i, W, order, data, tape, out):
        """Set the rows of out to s sum_j phi'(t_j) c_j x_j + l2 D w, and keep curvatures with order 1."""
        X, y, scale, ridge, smoothing = task(i, data)
        tape = on_lines(tape)
        points, m = W.shape[0], y.size
        kept = order * points * m
        P = tape[kept : kept + points * m].reshape((points, m))
        seen = tape[kept + points * m : kept + (points + LOOK_ROWS) * m]
        _predict(X, W, P)
        for b in range(points):
            look(smoothing, P[b], y, seen)
            if order > 0:
                curvature = tape[b * m : (b + 1) * m]
                derivatives(smoothing, scale, y, seen, curvature, curvature, P[b])
            else:
                slopes(smoothing, scale, y, seen, P[b], P[b], P[b])
        _fill_up(P, X[2])
        _accumulate(X, P, out)
        _add_ridge(ridge, W, out)

    return gradient


_task = sample_functions(False).task


@kernel_on_demand(BATCH_HVP)
def hvp(i, V, data, tape, out):
    """Set the rows of out to s sum_j phi''(t_j) (x_j'v) x_j + l2 D v."""
    tape = on_lines(tape)
    X, y, _, ridge, _ = _task(i, data)
    points, m = V.shape[0], y.size
    curvature, flat = tape[: points * m], tape[points * m : 2 * points * m]
    P = flat.reshape((points, m))
    _predict(X, V, P)
    for j in range(points * m):
        flat[j] *= curvature[j]
    _fill_up(P, X[2])
    _accumulate(X, P, out)
    _add_ridge(ridge, V, out)


@cache
def kernels(kind: int) -> BatchedKernels:
    """Return the kernels of a loss at many points."""
    return BatchedKernels(size, _gradient(kind), hvp)
