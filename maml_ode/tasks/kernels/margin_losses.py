"""The scalar losses phi of the linear models, for a block of samples at once, with three derivatives each.

Each loss has functions of its own (`loss_functions`), so that a run compiles those of its loss alone.

`look` turns predictions x'w into what value and derivatives share; each of them is then one loop without a
branch or a call, which LLVM vectorises; exp and 1/(1 + e) are taken once per sample and point. With u = t/s
(s = 1 for the logistic loss), e = exp(-|u|), r = 1/(1 + e), l = log(1 + e) and m = e - 1,

    softplus(u) = max(0, u) + l,   softplus'(u) = {1, e} r,   softplus''(u) = e r^2,
    softplus'''(u) = -softplus''(u) tanh(u/2),   tanh(|u|/2) = -m r.

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

# 1/s is cut off here for the same reason.
LARGEST = 1.7e308

# Numbers per sample of a look: all t, then u cut off at +-SATURATION, then e, r, l and m.
LOOK_ROWS = 6

# error_model="numpy" below: Python's division would raise an exception, which is a branch.


def _look(kind: int, bent: bool) -> Any:
    """Return the function that fills a look, if ``bent`` with what third derivatives need."""
    offset = 0.0 if kind == LOGISTIC else 1.0
    straight = kind in (HINGE, SQUARED_HINGE)

    @inner(types.void(REAL, VECTOR, VECTOR, VECTOR), error_model="numpy")
    def look(smoothing, predictions, y, seen):
        """Fill t and, where the loss has them, u, e, r and m, and for the squared softplus l."""
        n = y.size
        t, u, e, r = seen[:n], seen[n : 2 * n], seen[2 * n : 3 * n], seen[3 * n : 4 * n]
        if kind == SQUARED:
            for j in range(n):
                t[j] = y[j] - predictions[j]
            return
        for j in range(n):
            t[j] = offset - y[j] * predictions[j]
        if straight:
            return
        for j in range(n):
            scaled = t[j] if kind == LOGISTIC else t[j] / smoothing
            scaled = SATURATION if scaled > SATURATION else scaled
            scaled = -SATURATION if scaled < -SATURATION else scaled
            u[j] = scaled
        less = seen[5 * n : 6 * n]
        for j in range(n):
            if bent:
                power, less[j] = vector_math.exp_and_expm1_of(-abs(u[j]))
            else:
                power = vector_math.exp_of(-abs(u[j]))
            e[j] = power
            r[j] = 1.0 / (1.0 + power)
        if kind == SMOOTH_SQUARED_HINGE:
            vector_math.log1p(e, seen[4 * n : 5 * n])

    return look


def _total(kind: int) -> Any:
    """Return the function that sums the losses."""

    @inner(REAL(REAL, INDEX, VECTOR), fastmath={"reassoc", "contract"})
    def total(smoothing, n, seen):
        """Return sum_j phi(t_j) of the n samples looked at; fills l."""
        t, logarithm = seen[:n], seen[4 * n : 5 * n]
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
            vector_math.log1p(seen[2 * n : 3 * n], logarithm)
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
        t, u, e = seen[:n], seen[n : 2 * n], seen[2 * n : 3 * n]
        r, logarithm = seen[3 * n : 4 * n], seen[4 * n : 5 * n]
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
                p = (1.0 if u[j] > 0.0 else e[j]) * r[j]
                h = smoothing * logarithm[j] + (t[j] if t[j] > 0.0 else 0.0)
                out[j] = -2.0 * scale * y[j] * (h * p)
        else:
            for j in range(n):
                p = (1.0 if u[j] > 0.0 else e[j]) * r[j]
                out[j] = -scale * y[j] * p

    return slopes


def _curvatures(kind: int) -> Any:
    """Return the function of second derivatives."""

    @inner(types.void(REAL, REAL, VECTOR, VECTOR), error_model="numpy")
    def curvatures(smoothing, scale, seen, out):
        """Set out[j] = scale phi''(t_j), the second derivative in x'w too, as dt/d(x'w) is -1 or 1."""
        n = out.size
        t, u, e = seen[:n], seen[n : 2 * n], seen[2 * n : 3 * n]
        r, logarithm = seen[3 * n : 4 * n], seen[4 * n : 5 * n]
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
                p = (1.0 if u[j] > 0.0 else e[j]) * r[j]
                softplus = logarithm[j] + (u[j] if u[j] > 0.0 else 0.0)
                out[j] = 2.0 * scale * (p * p + softplus * (e[j] * r[j] * r[j]))
        else:
            inverse = min(1.0 / smoothing, LARGEST)
            for j in range(n):
                out[j] = scale * (e[j] * r[j] * r[j] * inverse)

    return curvatures


def _bends(kind: int) -> Any:
    """Return the function of third derivatives."""
    straight = kind in (SQUARED, HINGE, SQUARED_HINGE)

    @inner(types.void(REAL, REAL, VECTOR, VECTOR, VECTOR), error_model="numpy")
    def bends(smoothing, scale, y, seen, out):
        """Set out[j] = scale phi'''(t_j) dt/d(x'w), the third derivative in x'w, after a bent look."""
        n = y.size
        u, e, less = seen[n : 2 * n], seen[2 * n : 3 * n], seen[5 * n : 6 * n]
        r, logarithm = seen[3 * n : 4 * n], seen[4 * n : 5 * n]
        if straight:
            for j in range(n):
                out[j] = 0.0
            return
        inverse = min(1.0 / smoothing, LARGEST)
        if kind == SMOOTH_SQUARED_HINGE:
            for j in range(n):
                p = (1.0 if u[j] > 0.0 else e[j]) * r[j]
                softplus = logarithm[j] + (u[j] if u[j] > 0.0 else 0.0)
                skew = (-less[j] if u[j] > 0.0 else less[j]) * r[j]
                bend = e[j] * r[j] * r[j] * (3.0 * p - softplus * skew) * inverse
                out[j] = -2.0 * scale * y[j] * bend
        else:
            for j in range(n):
                skew = (-less[j] if u[j] > 0.0 else less[j]) * r[j]
                bend = e[j] * r[j] * r[j] * skew * inverse * inverse
                out[j] = scale * y[j] * bend

    return bends


class LossFunctions(NamedTuple):
    """The functions of one loss."""

    look: Any
    bent_look: Any
    total: Any
    slopes: Any
    curvatures: Any
    bends: Any


@cache
def loss_functions(kind: int) -> LossFunctions:
    """Return the functions of a loss, each compiled with its first caller."""
    looks = _look(kind, False), _look(kind, True)
    return LossFunctions(*looks, _total(kind), _slopes(kind), _curvatures(kind), _bends(kind))
