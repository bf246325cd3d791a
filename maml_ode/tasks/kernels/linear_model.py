"""Kernels of f_i(w) = s_i sum_j phi(t_ij) + (l2/2) ||w||^2 for dense X, for every phi.

Layout: floats = [y (N), s (M), l2, smoothing, X (N d)], integers = [M, d, N, kind, first row of
each task (M), N].

A sample enters a product only through inner products with its own row. Every product therefore
reads X once, a block of rows at a time: first for their inner products, then, while they are in the
cache, for their share of the result. Through BLAS it would be two to four passes over X, and in
high dimension the memory sets the pace. BLAS would also start threads, which on a busy machine wait
for each other longer than they work.
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

# The numbers in a block of rows: 256 kB, a part of the second-level cache.
BLOCK_SIZE = 32768

# Sums may be reordered, so that they are vectorised; NaN and infinity keep their meaning.
REORDER = {"reassoc", "contract"}


@njit(types.Tuple((MATRIX, VECTOR, REAL, REAL, REAL, INDEX))(INDEX, DATA), cache=True)
def _task(i, data):  # type: ignore[no-untyped-def]
    """Return X_i and y_i as views, s_i, l2, the smoothing and the kind."""
    floats, integers = data
    n_tasks, d, n_rows, kind = integers[0], integers[1], integers[2], integers[3]
    start, stop = integers[4 + i], integers[5 + i]
    tail = n_rows + n_tasks
    first = tail + 2
    X = floats[first + start * d : first + stop * d].reshape((stop - start, d))
    return X, floats[start:stop], floats[n_rows + i], floats[tail], floats[tail + 1], kind


@njit(INDEX(MATRIX), cache=True)
def _block_rows(X):  # type: ignore[no-untyped-def]
    """Return the number of rows in a block, a multiple of 4 if there are as many."""
    n, d = X.shape
    return min(n, max(4, BLOCK_SIZE // d // 4 * 4))


@njit(types.void(MATRIX, VECTOR, VECTOR), fastmath=REORDER, cache=True)
def _products(rows, w, out):  # type: ignore[no-untyped-def]
    """Set out[r] = x_r'w for every row x_r, four at a time, so that w is read a fourth as often."""
    n = rows.shape[0]
    fours = n - n % 4
    for r in range(0, fours, 4):
        x0, x1, x2, x3 = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
        s0 = s1 = s2 = s3 = 0.0
        for k in range(w.size):
            s0 += x0[k] * w[k]
            s1 += x1[k] * w[k]
            s2 += x2[k] * w[k]
            s3 += x3[k] * w[k]
        out[r], out[r + 1], out[r + 2], out[r + 3] = s0, s1, s2, s3
    for r in range(fours, n):
        x = rows[r]
        s = 0.0
        for k in range(w.size):
            s += x[k] * w[k]
        out[r] = s


@njit(types.void(VECTOR, MATRIX, VECTOR), fastmath=REORDER, cache=True)
def _add_rows(c, rows, out):  # type: ignore[no-untyped-def]
    """Add sum_r c[r] x_r to out, four rows at a time, so that out is read a fourth as often."""
    n = rows.shape[0]
    fours = n - n % 4
    for r in range(0, fours, 4):
        x0, x1, x2, x3 = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
        c0, c1, c2, c3 = c[r], c[r + 1], c[r + 2], c[r + 3]
        for k in range(out.size):
            out[k] += (c0 * x0[k] + c1 * x1[k]) + (c2 * x2[k] + c3 * x3[k])
    for r in range(fours, n):
        x = rows[r]
        for k in range(out.size):
            out[k] += c[r] * x[k]


@njit(REAL(VECTOR), fastmath=REORDER, cache=True)
def _square(w):  # type: ignore[no-untyped-def]
    """Return ||w||^2."""
    total = 0.0
    for k in range(w.size):
        total += w[k] * w[k]
    return total


@njit(types.void(REAL, VECTOR, VECTOR), cache=True)
def _set_multiple(factor, v, out):  # type: ignore[no-untyped-def]
    """Set out = factor v; with factor 0 an infinite v still makes NaN."""
    for k in range(out.size):
        out[k] = factor * v[k]


@njit(LOSS, cache=True)
def loss(i, w, data):  # type: ignore[no-untyped-def]
    """Return s sum_j phi(t_j) + (l2/2) ||w||^2."""
    X, y, scale, l2, smoothing, kind = _task(i, data)
    predictions = np.empty(y.size)
    _products(X, w, predictions)
    total = 0.0
    for j in range(y.size):
        total += sample_loss(kind, predictions[j], y[j], smoothing)
    total *= scale
    if l2 != 0.0:
        total += 0.5 * l2 * _square(w)
    return total


@njit(GRADIENT, cache=True)
def gradient(i, w, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi'(t_j) c_j x_j + l2 w."""
    X, y, scale, l2, smoothing, kind = _task(i, data)
    _set_multiple(l2, w, out)
    block = _block_rows(X)
    c = np.empty(block)
    for j in range(0, y.size, block):
        rows = X[j : j + block]
        _products(rows, w, c)
        for r in range(rows.shape[0]):
            c[r] = scale * sample_slope(kind, c[r], y[j + r], smoothing)
        _add_rows(c, rows, out)


@njit(HVP, cache=True)
def hvp(i, w, v, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi''(t_j) (x_j'v) x_j + l2 v."""
    X, y, scale, l2, smoothing, kind = _task(i, data)
    _set_multiple(l2, v, out)
    if kind == HINGE:
        return
    block = _block_rows(X)
    predictions = np.zeros(block)
    c = np.empty(block)
    for j in range(0, y.size, block):
        rows = X[j : j + block]
        if kind != SQUARED:
            _products(rows, w, predictions)
        _products(rows, v, c)
        for r in range(rows.shape[0]):
            c[r] *= scale * sample_curvature(kind, predictions[r], y[j + r], smoothing)
        _add_rows(c, rows, out)


@njit(THIRD_VECTOR, cache=True)
def third_vector(i, w, v, q, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi'''(t_j) c_j (x_j'v) (x_j'q) x_j, without a d x d matrix."""
    X, y, scale, _, smoothing, kind = _task(i, data)
    out[:] = 0.0
    if kind in (SQUARED, HINGE, SQUARED_HINGE):
        return
    block = _block_rows(X)
    predictions, along, c = np.empty(block), np.empty(block), np.empty(block)
    for j in range(0, y.size, block):
        rows = X[j : j + block]
        _products(rows, w, predictions)
        _products(rows, v, along)
        _products(rows, q, c)
        for r in range(rows.shape[0]):
            bend = scale * sample_bend(kind, predictions[r], y[j + r], smoothing)
            c[r] *= bend * along[r]
        _add_rows(c, rows, out)


@njit(types.void(MATRIX, VECTOR, MATRIX), cache=True)
def _weighted_gram(X, c, out):  # type: ignore[no-untyped-def]
    """Set out = X' diag(c) X, symmetric to the last bit."""
    n, d = X.shape
    rows = np.empty((n, d))
    for j in range(n):
        for k in range(d):
            rows[j, k] = c[j] * X[j, k]
    np.dot(X.T, rows, out)
    for r in range(d):
        for k in range(r):
            mean = 0.5 * (out[r, k] + out[k, r])
            out[r, k] = mean
            out[k, r] = mean


@njit(HESSIAN, cache=True)
def hessian(i, w, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi''(t_j) x_j x_j' + l2 I."""
    X, y, scale, l2, smoothing, kind = _task(i, data)
    if kind == HINGE:
        out[:, :] = 0.0
    else:
        c = np.dot(X, w)
        for j in range(y.size):
            c[j] = scale * sample_curvature(kind, c[j], y[j], smoothing)
        _weighted_gram(X, c, out)
    for k in range(w.size):
        out[k, k] += l2


@njit(THIRD, cache=True)
def third(i, w, v, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi'''(t_j) c_j (x_j'v) x_j x_j'."""
    X, y, scale, _, smoothing, kind = _task(i, data)
    if kind in (SQUARED, HINGE, SQUARED_HINGE):
        out[:, :] = 0.0
        return
    c = np.dot(X, w)
    along = np.dot(X, v)
    for j in range(y.size):
        c[j] = scale * sample_bend(kind, c[j], y[j], smoothing) * along[j]
    _weighted_gram(X, c, out)


KERNELS = Kernels(loss, gradient, hvp, hessian, third, third_vector)
