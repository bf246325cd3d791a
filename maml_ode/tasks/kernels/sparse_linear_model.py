"""Kernels of f_i(w) = s_i sum_j phi(t_ij) + (l2/2) ||w||^2 for sparse X, for every phi.

Layout: floats = [y (N), s (M), l2, smoothing, values (nnz)], integers = [M, d, N, kind, first row
of each task (M), N, first entry of each task (M), nnz, row pointers of each task (N + M), columns
(nnz)]. The row pointers of a task count its own entries, from 0.

Every product reads the stored entries once, row by row, and vectors of length d once.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from maml_ode.compiled.contract import (
    DATA,
    GRADIENT,
    HESSIAN,
    HVP,
    INDEX,
    LOSS,
    MATRIX,
    REAL,
    THIRD,
    THIRD_VECTOR,
    VECTOR,
    Kernels,
)
from maml_ode.tasks.kernels.margin_losses import (
    HINGE,
    SQUARED,
    SQUARED_HINGE,
    sample_bend,
    sample_curvature,
    sample_loss,
    sample_slope,
)

POINTERS = types.int64[::1]
COLUMNS = types.uint64[::1]  # unsigned: an index that may be negative costs a test at every entry


@njit(types.Tuple((VECTOR, REAL, REAL, REAL, INDEX))(INDEX, DATA), cache=True)
def _task(i, data):  # type: ignore[no-untyped-def]
    """Return y_i as a view, s_i, l2, the smoothing and the kind."""
    floats, integers = data
    n_tasks, n_rows, kind = integers[0], integers[2], integers[3]
    tail = n_rows + n_tasks
    y = floats[integers[4 + i] : integers[5 + i]]
    return y, floats[n_rows + i], floats[tail], floats[tail + 1], kind


@njit(types.Tuple((VECTOR, COLUMNS, POINTERS))(INDEX, DATA), cache=True)
def _entries(i, data):  # type: ignore[no-untyped-def]
    """Return the values, columns and row pointers of X_i as views."""
    floats, integers = data
    n_tasks, n_rows = integers[0], integers[2]
    row, next_row = integers[4 + i], integers[5 + i]
    start, stop = integers[5 + n_tasks + i], integers[6 + n_tasks + i]
    pointers = 6 + 2 * n_tasks
    values = n_rows + n_tasks + 2
    columns = pointers + n_rows + n_tasks
    return (
        floats[values + start : values + stop],
        integers[columns + start : columns + stop].view(np.uint64),
        integers[pointers + row + i : pointers + next_row + i + 1],
    )


@njit(REAL(VECTOR, COLUMNS, INDEX, INDEX, VECTOR), cache=True)
def _product(values, columns, start, stop, w):  # type: ignore[no-untyped-def]
    """Return x'w for the row with the entries start to stop."""
    total = 0.0
    for e in range(start, stop):
        total += values[e] * w[columns[e]]
    return total


@njit(types.void(REAL, VECTOR, COLUMNS, INDEX, INDEX, VECTOR), cache=True)
def _add_row(c, values, columns, start, stop, out):  # type: ignore[no-untyped-def]
    """Add c x to out for the row with the entries start to stop."""
    for e in range(start, stop):
        out[columns[e]] += c * values[e]


@njit(types.void(REAL, VECTOR, COLUMNS, INDEX, INDEX, MATRIX), cache=True)
def _add_square(c, values, columns, start, stop, out):  # type: ignore[no-untyped-def]
    """Add c x x' to out for the row with the entries start to stop, symmetric to the last bit."""
    for e in range(start, stop):
        for f in range(start, stop):
            out[columns[e], columns[f]] += c * (values[e] * values[f])


@njit(LOSS, cache=True)
def loss(i, w, data):  # type: ignore[no-untyped-def]
    """Return s sum_j phi(t_j) + (l2/2) ||w||^2."""
    y, scale, l2, smoothing, kind = _task(i, data)
    values, columns, pointers = _entries(i, data)
    total = 0.0
    for j in range(y.size):
        prediction = _product(values, columns, pointers[j], pointers[j + 1], w)
        total += sample_loss(kind, prediction, y[j], smoothing)
    # A NaN at a coordinate without entries must show, as it does with dense data.
    none = 0.0
    square = 0.0
    for k in range(w.size):
        none += 0.0 * w[k]
        square += w[k] * w[k]
    total = scale * total + none
    if l2 != 0.0:
        total += 0.5 * l2 * square
    return total


@njit(GRADIENT, cache=True)
def gradient(i, w, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi'(t_j) c_j x_j + l2 w."""
    y, scale, l2, smoothing, kind = _task(i, data)
    values, columns, pointers = _entries(i, data)
    for k in range(out.size):
        out[k] = l2 * w[k]
    for j in range(y.size):
        start, stop = pointers[j], pointers[j + 1]
        prediction = _product(values, columns, start, stop, w)
        c = scale * sample_slope(kind, prediction, y[j], smoothing)
        _add_row(c, values, columns, start, stop, out)


@njit(HVP, cache=True)
def hvp(i, w, v, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi''(t_j) (x_j'v) x_j + l2 v."""
    y, scale, l2, smoothing, kind = _task(i, data)
    values, columns, pointers = _entries(i, data)
    for k in range(out.size):
        out[k] = l2 * v[k]
    if kind == HINGE:
        return
    for j in range(y.size):
        start, stop = pointers[j], pointers[j + 1]
        prediction = 0.0 if kind == SQUARED else _product(values, columns, start, stop, w)
        c = scale * sample_curvature(kind, prediction, y[j], smoothing)
        c *= _product(values, columns, start, stop, v)
        _add_row(c, values, columns, start, stop, out)


@njit(HESSIAN, cache=True)
def hessian(i, w, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi''(t_j) x_j x_j' + l2 I, in O(d^2 + sum of squared row counts)."""
    y, scale, l2, smoothing, kind = _task(i, data)
    values, columns, pointers = _entries(i, data)
    out[:, :] = 0.0
    for k in range(w.size):
        out[k, k] = l2
    if kind == HINGE:
        return
    for j in range(y.size):
        start, stop = pointers[j], pointers[j + 1]
        prediction = _product(values, columns, start, stop, w)
        c = scale * sample_curvature(kind, prediction, y[j], smoothing)
        _add_square(c, values, columns, start, stop, out)


@njit(THIRD, cache=True)
def third(i, w, v, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi'''(t_j) c_j (x_j'v) x_j x_j'."""
    y, scale, _, smoothing, kind = _task(i, data)
    values, columns, pointers = _entries(i, data)
    out[:, :] = 0.0
    if kind in (SQUARED, HINGE, SQUARED_HINGE):
        return
    for j in range(y.size):
        start, stop = pointers[j], pointers[j + 1]
        prediction = _product(values, columns, start, stop, w)
        c = scale * sample_bend(kind, prediction, y[j], smoothing)
        c *= _product(values, columns, start, stop, v)
        _add_square(c, values, columns, start, stop, out)


@njit(THIRD_VECTOR, cache=True)
def third_vector(i, w, v, q, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi'''(t_j) c_j (x_j'v) (x_j'q) x_j, without a d x d matrix."""
    y, scale, _, smoothing, kind = _task(i, data)
    values, columns, pointers = _entries(i, data)
    out[:] = 0.0
    if kind in (SQUARED, HINGE, SQUARED_HINGE):
        return
    for j in range(y.size):
        start, stop = pointers[j], pointers[j + 1]
        prediction = _product(values, columns, start, stop, w)
        c = scale * sample_bend(kind, prediction, y[j], smoothing)
        c *= _product(values, columns, start, stop, v)
        c *= _product(values, columns, start, stop, q)
        _add_row(c, values, columns, start, stop, out)


KERNELS = Kernels(loss, gradient, hvp, hessian, third, third_vector)
