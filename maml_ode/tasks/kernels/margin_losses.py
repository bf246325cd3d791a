"""The scalar losses phi of the linear models, compiled, with their first three derivatives.

Where a branch tests the sign of a margin, NaN takes the branch that returns it: a NaN that became 0
would look like a stationary point.
"""

from __future__ import annotations

import math

from numba import njit

from maml_ode.compiled.contract import INDEX, REAL
from maml_ode.tasks.margin_losses import MarginLoss

SQUARED = int(MarginLoss.SQUARED)
LOGISTIC = int(MarginLoss.LOGISTIC)
HINGE = int(MarginLoss.HINGE)
SQUARED_HINGE = int(MarginLoss.SQUARED_HINGE)
SMOOTH_HINGE = int(MarginLoss.SMOOTH_HINGE)

SCALAR = REAL(INDEX, REAL, REAL)  # (kind, t, smoothing)
SAMPLE = REAL(INDEX, REAL, REAL, REAL)  # (kind, x'w, y, smoothing)

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


@njit(SAMPLE, cache=True)
def sample_loss(kind, prediction, y, smoothing):  # type: ignore[no-untyped-def]
    """Return phi(t), the loss of one sample as a function of its prediction x'w."""
    return _value(kind, _margin(kind, prediction, y), smoothing)


@njit(SAMPLE, cache=True)
def sample_slope(kind, prediction, y, smoothing):  # type: ignore[no-untyped-def]
    """Return phi'(t) dt/d(x'w), the first derivative of ``sample_loss`` in the prediction."""
    return _direction(kind, y) * _first(kind, _margin(kind, prediction, y), smoothing)


@njit(SAMPLE, cache=True)
def sample_curvature(kind, prediction, y, smoothing):  # type: ignore[no-untyped-def]
    """Return phi''(t), the second derivative, since dt/d(x'w) is -1 or 1."""
    return _second(kind, _margin(kind, prediction, y), smoothing)


@njit(SAMPLE, cache=True)
def sample_bend(kind, prediction, y, smoothing):  # type: ignore[no-untyped-def]
    """Return phi'''(t) dt/d(x'w), the third derivative."""
    return _direction(kind, y) * _third(kind, _margin(kind, prediction, y), smoothing)
