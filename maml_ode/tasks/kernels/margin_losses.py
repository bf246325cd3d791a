"""The scalar losses phi of the linear models, for a block of samples at once, with three derivatives each.

Each loss has functions of its own (`loss_functions`), so that a run compiles those of its loss alone.

`look` turns predictions x'w into what value and derivatives share; the derivatives are then one loop without a
branch or a call, which LLVM vectorises; exp, log and 1/(1 + e) are taken once per sample and point. What is
soon had again is not kept: to write it and read it takes longer. With u = t/s (s = 1 for the logistic loss),
e = exp(-|u|), r = 1/(1 + e), l = log(1 + e) and m = e - 1,

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
from maml_ode.compiled.contract import REAL, VECTOR
from maml_ode.compiled.decorators import inner
from maml_ode.tasks.margin_losses import MarginLoss

SQUARED = int(MarginLoss.SQUARED)
LOGISTIC = int(MarginLoss.LOGISTIC)
HINGE = int(MarginLoss.HINGE)
SQUARED_HINGE = int(MarginLoss.SQUARED_HINGE)
SMOOTH_HINGE = int(MarginLoss.SMOOTH_HINGE)
SMOOTH_SQUARED_HINGE = int(MarginLoss.SMOOTH_SQUARED_HINGE)

# exp(-SATURATION) is 0 in float64, so that beyond it every derivative of softplus is constant.
# Margins are cut off there before softplus is multiplied with its vanishing derivatives: inf * 0 would be NaN.
SATURATION = 1e4

# 1/s is cut off here for the same reason.
LARGEST = 1.7e308

# Numbers per sample of a look: all u, then e, l and m.
LOOK_ROWS = 4

# error_model="numpy" below: Python's division would raise an exception, which is a branch.


def _look(kind: int, bent: bool) -> Any:
    """Return the function that fills a look, if ``bent`` with what third derivatives need."""

    @inner(types.void(REAL, VECTOR, VECTOR, VECTOR), error_model="numpy")
    def look(smoothing, predictions, y, seen):
        """Fill e where the loss has it, u unless that is -y x'w, and for the squared softplus l."""
        n = y.size
        u, e, less = seen[:n], seen[n : 2 * n], seen[3 * n : 4 * n]
        if kind == LOGISTIC:
            # The sign of u is that of the prediction or not, and e is the same for both.
            for j in range(n):
                if bent:
                    e[j], less[j] = vector_math.decay_and_less_of(predictions[j])
                else:
                    e[j] = vector_math.decay_of(predictions[j])
        elif kind in (SMOOTH_HINGE, SMOOTH_SQUARED_HINGE):
            inverse = min(1.0 / smoothing, LARGEST)
            for j in range(n):
                scaled = (1.0 - y[j] * predictions[j]) * inverse
                u[j] = SATURATION if scaled > SATURATION else scaled
            for j in range(n):
                if bent:
                    e[j], less[j] = vector_math.decay_and_less_of(u[j])
                else:
                    e[j] = vector_math.decay_of(u[j])
            if kind == SMOOTH_SQUARED_HINGE:
                vector_math.log1p(e, seen[2 * n : 3 * n])

    return look


def _total(kind: int) -> Any:
    """Return the function that sums the losses."""

    @inner(REAL(REAL, VECTOR, VECTOR, VECTOR), fastmath={"reassoc", "contract"})
    def total(smoothing, predictions, y, seen):
        """Return sum_j phi(t_j) of the samples looked at; fills l."""
        n = y.size
        logarithm = seen[2 * n : 3 * n]
        result = 0.0
        if kind == SQUARED:
            for j in range(n):
                t = y[j] - predictions[j]
                result += t * t
        elif kind == HINGE:
            for j in range(n):
                t = 1.0 - y[j] * predictions[j]
                result += 0.0 if t <= 0.0 else t
        elif kind == SQUARED_HINGE:
            for j in range(n):
                t = 1.0 - y[j] * predictions[j]
                positive = 0.0 if t <= 0.0 else t
                result += positive * positive
        elif kind == SMOOTH_SQUARED_HINGE:
            for j in range(n):
                t = 1.0 - y[j] * predictions[j]
                h = smoothing * logarithm[j] + (t if t > 0.0 else 0.0)
                result += h * h
        else:
            offset = 0.0 if kind == LOGISTIC else 1.0
            vector_math.log1p(seen[n : 2 * n], logarithm)
            for j in range(n):
                t = offset - y[j] * predictions[j]
                result += smoothing * logarithm[j] + (t if t > 0.0 else 0.0)
        return result

    return total


def _derivatives(kind: int, highest: int) -> Any:
    """Return the function of first derivatives, and of second and third ones as far as the highest says."""
    curved, bent = highest > 1, highest > 2

    @inner(types.void(REAL, REAL, VECTOR, VECTOR, VECTOR, VECTOR, VECTOR), error_model="numpy")
    def derivatives(smoothing, scale, y, seen, curvature, bend, c):
        """Turn the predictions c[j] into scale phi'(t_j) dt/d(x'w), with dt/d(x'w) = -1 or -y_j.

        As far as they are asked for, set curvature[j] = scale phi''(t_j), the second derivative in x'w too, as
        dt/d(x'w) is -1 or 1, and, after a bent look, bend[j] = scale phi'''(t_j) dt/d(x'w), the third.
        """
        n = y.size
        u, e = seen[:n], seen[n : 2 * n]
        logarithm, less = seen[2 * n : 3 * n], seen[3 * n : 4 * n]
        inverse = min(1.0 / smoothing, LARGEST)
        if kind == SQUARED:
            for j in range(n):
                if curved:
                    curvature[j] = 2.0 * scale
                c[j] = 2.0 * scale * (c[j] - y[j])
        elif kind == HINGE:
            for j in range(n):
                t = 1.0 - y[j] * c[j]
                step = 1.0 if t > 0.0 else t
                if curved:
                    curvature[j] = 0.0
                c[j] = -scale * y[j] * (0.0 if t <= 0.0 else step)
        elif kind == SQUARED_HINGE:
            for j in range(n):
                t = 1.0 - y[j] * c[j]
                if curved:
                    step = 2.0 if t > 0.0 else t
                    curvature[j] = scale * (0.0 if t <= 0.0 else step)
                c[j] = -2.0 * scale * y[j] * (0.0 if t <= 0.0 else t)
        elif kind == SMOOTH_SQUARED_HINGE:
            for j in range(n):
                r = 1.0 / (1.0 + e[j])
                tail = e[j] * r
                p = r if u[j] > 0.0 else tail
                t = 1.0 - y[j] * c[j]
                h = smoothing * logarithm[j] + (t if t > 0.0 else 0.0)
                c[j] = -2.0 * scale * y[j] * (h * p)
                if curved:
                    softplus = logarithm[j] + (u[j] if u[j] > 0.0 else 0.0)
                    second = tail * r
                    curvature[j] = 2.0 * scale * (p * p + softplus * second)
                if bent:
                    skew = (-less[j] if u[j] > 0.0 else less[j]) * r
                    third = second * (3.0 * p - softplus * skew) * inverse
                    bend[j] = -2.0 * scale * y[j] * third
        else:
            for j in range(n):
                r = 1.0 / (1.0 + e[j])
                tail = e[j] * r
                negative = y[j] * c[j] > 0.0 if kind == LOGISTIC else u[j] <= 0.0
                if curved:
                    curvature[j] = scale * (tail * r * inverse)
                c[j] = -scale * y[j] * (tail if negative else r)
                if bent:
                    skew = (less[j] if negative else -less[j]) * r
                    bend[j] = scale * y[j] * (tail * r * skew * inverse * inverse)
        if bent and kind in (SQUARED, HINGE, SQUARED_HINGE):
            for j in range(n):
                bend[j] = 0.0

    return derivatives


class LossFunctions(NamedTuple):
    """The functions of one loss."""

    look: Any
    bent_look: Any
    total: Any
    slopes: Any
    derivatives: Any
    bent_derivatives: Any


@cache
def loss_functions(kind: int) -> LossFunctions:
    """Return the functions of a loss, each compiled with its first caller."""
    looks = _look(kind, False), _look(kind, True)
    return LossFunctions(*looks, _total(kind), *(_derivatives(kind, order) for order in (1, 2, 3)))
