"""Kernels of f_i(w) = s_i sum_j phi(t_ij) + (l2/2) ||w||^2, for every phi of ``MarginLoss``.

Layout: floats = [X (N d), y (N), s (M), l2, smoothing], integers = [M, d, N, kind, first row of
each task (M), N]. The scalar functions come first, then the six kernels. Where a branch tests the
sign of a margin, NaN takes the branch that returns it: a NaN that became 0 would look like a
stationary point.
"""

from __future__ import annotations

import math

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
from maml_ode.tasks.margin_losses import MarginLoss

SQUARED = int(MarginLoss.SQUARED)
LOGISTIC = int(MarginLoss.LOGISTIC)
HINGE = int(MarginLoss.HINGE)
SQUARED_HINGE = int(MarginLoss.SQUARED_HINGE)
SMOOTH_HINGE = int(MarginLoss.SMOOTH_HINGE)

SCALAR = REAL(INDEX, REAL, REAL)  # (kind, t, smoothing)

# exp(-SATURATION) is 0 in float64, so that beyond it every derivative of softplus is constant.
# Arguments are cut off there before softplus is multiplied with its vanishing derivatives:
# inf * 0 would be NaN.
SATURATION = 1e4


@njit(REAL(REAL), cache=True)
def _softplus(t):  # type: ignore[no-untyped-def]
    """Return log(1 + exp(t))."""
    tail = math.log1p(math.exp(-abs(t)))
    return tail if t <= 0.0 else t + tail


@njit(REAL(REAL), cache=True)
def _sigmoid(t):  # type: ignore[no-untyped-def]
    """Return softplus'(t) = 1/(1 + exp(-t))."""
    e = math.exp(-abs(t))
    return e / (1.0 + e) if t <= 0.0 else 1.0 / (1.0 + e)


@njit(REAL(REAL), cache=True)
def _sigmoid_slope(t):  # type: ignore[no-untyped-def]
    """Return softplus''(t) = sigmoid(t) sigmoid(-t)."""
    e = math.exp(-abs(t))
    return e / ((1.0 + e) * (1.0 + e))


@njit(REAL(REAL, REAL), cache=True)
def _scaled(t, smoothing):  # type: ignore[no-untyped-def]
    """Return t/smoothing within [-SATURATION, SATURATION]."""
    u = t / smoothing
    if u > SATURATION:
        return SATURATION
    if u < -SATURATION:
        return -SATURATION
    return u


@njit(REAL(REAL, REAL), cache=True)
def _smooth_hinge(t, smoothing):  # type: ignore[no-untyped-def]
    """Return smoothing * softplus(t/smoothing), also where t/smoothing overflows."""
    tail = smoothing * math.log1p(math.exp(-abs(t) / smoothing))
    return tail if t <= 0.0 else t + tail


@njit(REAL(INDEX, REAL, REAL), cache=True)
def _margin(kind, prediction, y):  # type: ignore[no-untyped-def]
    """Return t for the prediction x'w."""
    if kind == SQUARED:
        return y - prediction
    if kind == LOGISTIC:
        return -y * prediction
    return 1.0 - y * prediction


@njit(REAL(INDEX, REAL), cache=True)
def _direction(kind, y):  # type: ignore[no-untyped-def]
    """Return dt/d(x'w)."""
    return -1.0 if kind == SQUARED else -y


@njit(SCALAR, cache=True)
def _value(kind, t, smoothing):  # type: ignore[no-untyped-def]
    """Return phi(t)."""
    if kind == SQUARED:
        return t * t
    if kind == LOGISTIC:
        return _softplus(t)
    if kind == HINGE:
        return 0.0 if t <= 0.0 else t
    if kind == SQUARED_HINGE:
        return 0.0 if t <= 0.0 else t * t
    h = _smooth_hinge(t, smoothing)
    return h if kind == SMOOTH_HINGE else h * h


@njit(SCALAR, cache=True)
def _first(kind, t, smoothing):  # type: ignore[no-untyped-def]
    """Return phi'(t)."""
    if kind == SQUARED:
        return 2.0 * t
    if kind == LOGISTIC:
        return _sigmoid(t)
    if kind == HINGE:
        if t <= 0.0:
            return 0.0
        return 1.0 if t > 0.0 else t
    if kind == SQUARED_HINGE:
        return 0.0 if t <= 0.0 else 2.0 * t
    p = _sigmoid(_scaled(t, smoothing))
    return p if kind == SMOOTH_HINGE else 2.0 * _smooth_hinge(t, smoothing) * p


@njit(SCALAR, cache=True)
def _second(kind, t, smoothing):  # type: ignore[no-untyped-def]
    """Return phi''(t)."""
    if kind == SQUARED:
        return 2.0
    if kind == LOGISTIC:
        return _sigmoid_slope(t)
    if kind == HINGE:
        return 0.0
    if kind == SQUARED_HINGE:
        if t <= 0.0:
            return 0.0
        return 2.0 if t > 0.0 else t
    u = _scaled(t, smoothing)
    if kind == SMOOTH_HINGE:
        return _sigmoid_slope(u) / smoothing
    p = _sigmoid(u)
    return 2.0 * (p * p + _softplus(u) * _sigmoid_slope(u))


@njit(SCALAR, cache=True)
def _third(kind, t, smoothing):  # type: ignore[no-untyped-def]
    """Return phi'''(t), with softplus''' = -softplus'' tanh(t/2)."""
    if kind == LOGISTIC:
        return -_sigmoid_slope(t) * math.tanh(0.5 * t)
    if kind in (SQUARED, HINGE, SQUARED_HINGE):
        return 0.0
    u = _scaled(t, smoothing)
    skew = math.tanh(0.5 * u)
    if kind == SMOOTH_HINGE:
        return -_sigmoid_slope(u) * skew / smoothing / smoothing
    return 2.0 * _sigmoid_slope(u) * (3.0 * _sigmoid(u) - _softplus(u) * skew) / smoothing


@njit(types.Tuple((MATRIX, VECTOR, REAL, REAL, REAL, INDEX))(INDEX, DATA), cache=True)
def _task(i, data):  # type: ignore[no-untyped-def]
    """Return X_i and y_i as views, s_i, l2, the smoothing and the kind."""
    floats, integers = data
    n_tasks, d, n_rows, kind = integers[0], integers[1], integers[2], integers[3]
    start, stop = integers[4 + i], integers[5 + i]
    X = floats[start * d : stop * d].reshape((stop - start, d))
    labels = n_rows * d
    y = floats[labels + start : labels + stop]
    tail = labels + n_rows
    return X, y, floats[tail + i], floats[tail + n_tasks], floats[tail + n_tasks + 1], kind


@njit(types.void(VECTOR, REAL, VECTOR), cache=True)
def _add_multiple(out, factor, v):  # type: ignore[no-untyped-def]
    """Add factor v to out; with factor 0 an infinite v still makes NaN."""
    for k in range(out.size):
        out[k] += factor * v[k]


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


@njit(LOSS, cache=True)
def loss(i, w, data):  # type: ignore[no-untyped-def]
    """Return s sum_j phi(t_j) + (l2/2) ||w||^2."""
    X, y, scale, l2, smoothing, kind = _task(i, data)
    predictions = np.dot(X, w)
    total = 0.0
    for j in range(y.size):
        total += _value(kind, _margin(kind, predictions[j], y[j]), smoothing)
    total *= scale
    if l2 != 0.0:
        total += 0.5 * l2 * np.dot(w, w)
    return total


@njit(GRADIENT, cache=True)
def gradient(i, w, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi'(t_j) c_j x_j + l2 w."""
    X, y, scale, l2, smoothing, kind = _task(i, data)
    c = np.dot(X, w)
    for j in range(y.size):
        slope = _first(kind, _margin(kind, c[j], y[j]), smoothing)
        c[j] = scale * _direction(kind, y[j]) * slope
    np.dot(c, X, out)
    _add_multiple(out, l2, w)


@njit(HVP, cache=True)
def hvp(i, w, v, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi''(t_j) (x_j'v) x_j + l2 v."""
    X, y, scale, l2, smoothing, kind = _task(i, data)
    if kind == HINGE:
        out[:] = 0.0
    else:
        c = np.dot(X, v)
        if kind == SQUARED:
            for j in range(y.size):
                c[j] *= 2.0 * scale
        else:
            predictions = np.dot(X, w)
            for j in range(y.size):
                c[j] *= scale * _second(kind, _margin(kind, predictions[j], y[j]), smoothing)
        np.dot(c, X, out)
    _add_multiple(out, l2, v)


@njit(HESSIAN, cache=True)
def hessian(i, w, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi''(t_j) x_j x_j' + l2 I."""
    X, y, scale, l2, smoothing, kind = _task(i, data)
    if kind == HINGE:
        out[:, :] = 0.0
    else:
        c = np.dot(X, w)
        for j in range(y.size):
            c[j] = scale * _second(kind, _margin(kind, c[j], y[j]), smoothing)
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
        bend = _third(kind, _margin(kind, c[j], y[j]), smoothing)
        c[j] = scale * _direction(kind, y[j]) * bend * along[j]
    _weighted_gram(X, c, out)


@njit(THIRD_VECTOR, cache=True)
def third_vector(i, w, v, q, data, out):  # type: ignore[no-untyped-def]
    """Set out = s sum_j phi'''(t_j) c_j (x_j'v) (x_j'q) x_j, without a d x d matrix."""
    X, y, scale, _, smoothing, kind = _task(i, data)
    if kind in (SQUARED, HINGE, SQUARED_HINGE):
        out[:] = 0.0
        return
    c = np.dot(X, w)
    along = np.dot(X, v)
    across = np.dot(X, q)
    for j in range(y.size):
        bend = _third(kind, _margin(kind, c[j], y[j]), smoothing)
        c[j] = scale * _direction(kind, y[j]) * bend * along[j] * across[j]
    np.dot(c, X, out)


KERNELS = Kernels(loss, gradient, hvp, hessian, third, third_vector)
