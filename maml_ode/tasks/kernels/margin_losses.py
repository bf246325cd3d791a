"""The scalar losses phi of the linear models, for a block of samples at once, with three derivatives each.

Each loss has functions of its own (`loss_functions`), so that a run compiles those of its loss alone.

`look` turns predictions x'w into what value and derivatives share; each of them is then one loop without a
branch or a call, which LLVM vectorises, and exp is taken once per sample and point. With u = t/s (s = 1 for the
logistic loss), e = exp(-|u|) and l = log(1 + e),

    softplus(u) = max(0, u) + l,   softplus'(u) = {1, e}/(1 + e),   softplus''(u) = e/(1 + e)^2,
    softplus'''(u) = -softplus''(u) tanh(u/2),   tanh(|u|/2) = (1 - e)/(1 + e).

Where a choice tests the sign of a margin, NaN takes the side that returns it: a NaN that became 0 would look
like a stationary point.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from numba import types

from maml_ode.compiled import vector_math
from maml_ode.compiled.contract import INDEX, REAL, VECTOR
from maml_ode.compiled.decorators import inner
from maml_ode.tasks.margin_losses import MarginLoss

SQUARED = int(MarginLoss.SQUARED)
LOGISTIC = int(MarginLoss.LOGISTIC)
HINGE = int(MarginLoss.HINGE)
SQUARED_HINGE = int(MarginLoss.SQUARED_HINGE)
SMOOTH_HINGE = int(MarginLoss.SMOOTH_HINGE)
SMOOTH_SQUARED_HINGE = int(MarginLoss.SMOOTH_SQUARED_HINGE)

# exp(-SATURATION) is 0 in float64, so that beyond it every derivative of softplus is constant.
# Arguments are cut off there before softplus is multiplied with its vanishing derivatives:
# inf * 0 would be NaN.
SATURATION = 1e4

# Numbers per sample of a look: all t, then u cut off at +-SATURATION, then e and l.
LOOK_ROWS = 4

# error_model="numpy" below: Python's division would raise an exception, which is a branch.


@inner(types.void(INDEX, VECTOR))
def _logarithms(n, seen):
    """Fill l."""
    e, logarithm = seen[2 * n : 3 * n], seen[3 * n : 4 * n]
    for j in range(n):
        logarithm[j] = e[j]
    vector_math.log1p(logarithm)


def _look(kind: int) -> Any:
    """Return the function that fills a look."""
    offset = 0.0 if kind == LOGISTIC else 1.0
    straight = kind in (HINGE, SQUARED_HINGE)

    @inner(types.void(REAL, VECTOR, VECTOR, VECTOR), error_model="numpy")
    def look(smoothing, predictions, y, seen):
        """Fill t and, where the loss has them, u and e, and for the squared softplus l."""
        n = y.size
        t, u, e = seen[:n], seen[n : 2 * n], seen[2 * n : 3 * n]
        if kind == SQUARED:
            for j in range(n):
                t[j] = y[j] - predictions[j]
            return
        for j in range(n):
            t[j] = offset - y[j] * predictions[j]
        if straight:
            return
        for j in range(n):
            scaled = t[j] / smoothing
            scaled = SATURATION if scaled > SATURATION else scaled
            scaled = -SATURATION if scaled < -SATURATION else scaled
            u[j] = scaled
            e[j] = -abs(scaled)
        vector_math.exp(e)
        if kind == SMOOTH_SQUARED_HINGE:
            _logarithms(n, seen)

    return look


def _total(kind: int) -> Any:
    """Return the function that sums the losses."""

    @inner(REAL(REAL, INDEX, VECTOR), fastmath={"reassoc", "contract"})
    def total(smoothing, n, seen):
        """Return sum_j phi(t_j) of the n samples looked at; fills l."""
        t, logarithm = seen[:n], seen[3 * n : 4 * n]
        result = 0.0
        if kind == SQUARED:
            for j in range(n):
                result += t[j] * t[j]
        elif kind == HINGE:
            for j in range(n):
                result += 0.0 if t[j] <= 0.0 else t[j]
        elif kind == SQUARED_HINGE:
            for j in range(n):
                positive = 0.0 if t[j] <= 0.0 else t[j]
                result += positive * positive
        elif kind == SMOOTH_SQUARED_HINGE:
            for j in range(n):
                h = smoothing * logarithm[j] + (t[j] if t[j] > 0.0 else 0.0)
                result += h * h
        else:
            _logarithms(n, seen)
            for j in range(n):
                result += smoothing * logarithm[j] + (t[j] if t[j] > 0.0 else 0.0)
        return result

    return total


def _slopes(kind: int) -> Any:
    """Return the function of first derivatives."""

    @inner(types.void(REAL, REAL, VECTOR, VECTOR, VECTOR), error_model="numpy")
    def slopes(smoothing, scale, y, seen, out):
        """Set out[j] = scale phi'(t_j) dt/d(x'w), with dt/d(x'w) = -1 or -y_j."""
        n = y.size
        t, u, e, logarithm = seen[:n], seen[n : 2 * n], seen[2 * n : 3 * n], seen[3 * n : 4 * n]
        if kind == SQUARED:
            for j in range(n):
                out[j] = -2.0 * scale * t[j]
        elif kind == HINGE:
            for j in range(n):
                step = 1.0 if t[j] > 0.0 else t[j]
                out[j] = -scale * y[j] * (0.0 if t[j] <= 0.0 else step)
        elif kind == SQUARED_HINGE:
            for j in range(n):
                out[j] = -2.0 * scale * y[j] * (0.0 if t[j] <= 0.0 else t[j])
        elif kind == SMOOTH_SQUARED_HINGE:
            for j in range(n):
                p = (1.0 if u[j] > 0.0 else e[j]) / (1.0 + e[j])
                h = smoothing * logarithm[j] + (t[j] if t[j] > 0.0 else 0.0)
                out[j] = -2.0 * scale * y[j] * (h * p)
        else:
            for j in range(n):
                p = (1.0 if u[j] > 0.0 else e[j]) / (1.0 + e[j])
                out[j] = -scale * y[j] * p

    return slopes


def _curvatures(kind: int) -> Any:
    """Return the function of second derivatives."""

    @inner(types.void(REAL, REAL, VECTOR, VECTOR), error_model="numpy")
    def curvatures(smoothing, scale, seen, out):
        """Set out[j] = scale phi''(t_j), the second derivative in x'w too, as dt/d(x'w) is -1 or 1."""
        n = out.size
        t, u, e, logarithm = seen[:n], seen[n : 2 * n], seen[2 * n : 3 * n], seen[3 * n : 4 * n]
        if kind == SQUARED:
            for j in range(n):
                out[j] = 2.0 * scale
        elif kind == HINGE:
            for j in range(n):
                out[j] = 0.0
        elif kind == SQUARED_HINGE:
            for j in range(n):
                step = 2.0 if t[j] > 0.0 else t[j]
                out[j] = scale * (0.0 if t[j] <= 0.0 else step)
        elif kind == SMOOTH_SQUARED_HINGE:
            for j in range(n):
                inverse = 1.0 / (1.0 + e[j])
                p = (1.0 if u[j] > 0.0 else e[j]) * inverse
                softplus = logarithm[j] + (u[j] if u[j] > 0.0 else 0.0)
                out[j] = 2.0 * scale * (p * p + softplus * (e[j] * inverse * inverse))
        else:
            for j in range(n):
                inverse = 1.0 / (1.0 + e[j])
                out[j] = scale * (e[j] * inverse * inverse / smoothing)

    return curvatures


def _bends(kind: int) -> Any:
    """Return the function of third derivatives."""
    straight = kind in (SQUARED, HINGE, SQUARED_HINGE)

    @inner(types.void(REAL, REAL, VECTOR, VECTOR, VECTOR), error_model="numpy")
    def bends(smoothing, scale, y, seen, out):
        """Set out[j] = scale phi'''(t_j) dt/d(x'w), the third derivative in x'w."""
        n = y.size
        u, e, logarithm = seen[n : 2 * n], seen[2 * n : 3 * n], seen[3 * n : 4 * n]
        if straight:
            for j in range(n):
                out[j] = 0.0
            return
        for j in range(n):
            out[j] = -abs(u[j])
        vector_math.expm1(out)
        if kind == SMOOTH_SQUARED_HINGE:
            for j in range(n):
                inverse = 1.0 / (1.0 + e[j])
                p = (1.0 if u[j] > 0.0 else e[j]) * inverse
                softplus = logarithm[j] + (u[j] if u[j] > 0.0 else 0.0)
                skew = (-out[j] if u[j] > 0.0 else out[j]) * inverse
                bend = 2.0 * (e[j] * inverse * inverse) * (3.0 * p - softplus * skew) / smoothing
                out[j] = -scale * y[j] * bend
        else:
            for j in range(n):
                inverse = 1.0 / (1.0 + e[j])
                skew = (-out[j] if u[j] > 0.0 else out[j]) * inverse
                bend = e[j] * inverse * inverse * skew / smoothing / smoothing
                out[j] = scale * y[j] * bend

    return bends


class LossFunctions(NamedTuple):
    """The functions of one loss."""

    look: Any
    total: Any
    slopes: Any
    curvatures: Any
    bends: Any


@cache
def loss_functions(kind: int) -> LossFunctions:
    """Return the functions of a loss, each compiled with its first caller."""
    return LossFunctions(_look(kind), _total(kind), _slopes(kind), _curvatures(kind), _bends(kind))


@inner(types.void(REAL, REAL, REAL, VECTOR, VECTOR), error_model="numpy")
def softplus_slopes(offset, smoothing, scale, y, c):
    """Replace predictions by scale phi'(t_j) dt/d(x'w), in one pass; t = offset - y x'w, phi' = softplus'(t/s)."""
    for j in range(y.size):
        u = (offset - y[j] * c[j]) / smoothing
        u = SATURATION if u > SATURATION else u
        u = -SATURATION if u < -SATURATION else u
        e = vector_math.exp_of(-abs(u))
        c[j] = -scale * y[j] * ((1.0 if u > 0.0 else e) / (1.0 + e))


@inner(types.void(REAL, REAL, REAL, VECTOR, VECTOR, VECTOR), error_model="numpy")
def softplus_slopes_and_curvatures(offset, smoothing, scale, y, c, curvatures):
    """Do what `softplus_slopes` does, and fill the curvatures scale phi''(t_j)."""
    for j in range(y.size):
        u = (offset - y[j] * c[j]) / smoothing
        u = SATURATION if u > SATURATION else u
        u = -SATURATION if u < -SATURATION else u
        e = vector_math.exp_of(-abs(u))
        inverse = 1.0 / (1.0 + e)
        curvatures[j] = scale * (e * inverse * inverse / smoothing)
        c[j] = -scale * y[j] * ((1.0 if u > 0.0 else e) * inverse)
