"""F' and F'' on balls, from the definition of the MAML loss as a composition of power series.

Nothing is differentiated by SymPy here, and nothing but the formula of the loss is shared with the enclosures
that guide the search: what one of them gets wrong the other does not confirm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from maml_ode.tasks.base import TaskFamily
from maml_ode.tasks.quadratic import Quadratic
from maml_ode.tasks.sinusoid import Sinusoid
from maml_ode.theory.intervals.balls import arb, arb_series, fmpq
from maml_ode.theory.intervals.expressions import Arithmetic, ExpressionReader

__all__ = ["BallMAMLLoss"]

_ORDERS = 4  # values and derivatives up to the third
_Loss = Callable[[arb_series], arb_series]


_Method = Callable[["BallMAMLLoss", arb, arb], tuple[arb, arb]]


def _unknown_outside_domains(method: _Method) -> _Method:
    """Return balls of no information where a series divides by 0 or leaves the domain of a function."""

    @wraps(method)
    def careful(self: BallMAMLLoss, alpha: arb, w: arb) -> tuple[arb, arb]:
        try:
            return method(self, alpha, w)
        except (ValueError, ZeroDivisionError):  # how python-flint puts it
            return arb.nan(), arb.nan()

    return careful


class BallMAMLLoss:
    """F(w) = sum p_i f_i(w - alpha f_i'(w)) of a one-dimensional family, at balls w and alpha.

    Parameters
    ----------
    tasks : Sinusoid, Quadratic or Symbolic
        With d = 1.
    """

    def __init__(self, tasks: TaskFamily) -> None:
        self._tasks = [
            (arb(float(p)), loss)
            for p, loss in zip(tasks.weights, _losses(tasks), strict=True)
            if p > 0
        ]

    @_unknown_outside_domains
    def derivatives(self, alpha: arb, w: arb) -> tuple[arb, arb]:
        """Return balls that contain F' and F'' for all members of ``alpha`` and ``w``."""
        slope = bend = arb(0)
        for p, loss in self._tasks:
            f = loss(arb_series([w, 1], 4))
            first, second = _composed(loss, alpha, f, w - alpha * f[1])
            slope += p * first
            bend += p * second
        return slope, bend

    @_unknown_outside_domains
    def sharper_derivatives(self, alpha: arb, w: arb) -> tuple[arb, arb]:
        """Return such balls by mean-value forms about the middle of ``w``, which are narrower on small balls."""
        middle = w.mid()
        slope = bend = at_middle = arb(0)
        for p, loss in self._tasks:
            f, f_m = (loss(arb_series([x, 1], 4)) for x in (w, middle))
            u, u_m = w - alpha * f[1], middle - alpha * f_m[1]
            u = u.intersection(u_m + (1 - 2 * alpha * f[2]) * (w - middle))
            first, second = _composed(loss, alpha, f, u)
            slope += p * first
            bend += p * second
            at_middle += p * _composed(loss, alpha, f_m, u_m)[0]
        return slope.intersection(at_middle + bend * (w - middle)), bend


def _composed(loss: _Loss, alpha: arb, f: arb_series, u: arb) -> tuple[arb, arb]:
    """Return the derivatives of f(u(w)), where f is given as a series about w and lies at u = u(w)."""
    # u(w + e) = w + e - alpha f'(w + e), up to e^2
    F = loss(arb_series([u, 1 - 2 * alpha * f[2], -3 * alpha * f[3]], 3))
    return F[1], 2 * F[2]


def _losses(tasks: TaskFamily) -> list[_Loss]:
    if isinstance(tasks, Sinusoid):
        rows = zip(tasks.a, tasks.b, tasks.omega, strict=True)
        return [_sinusoid(*(arb(float(x)) for x in row)) for row in rows]
    if isinstance(tasks, Quadratic):
        return [
            _parabola(arb(float(h)), arb(float(b)))
            for h, b in zip(tasks.H[:, 0, 0], tasks.b[:, 0], strict=True)
        ]
    return _formulas(tasks)


def _sinusoid(a: arb, b: arb, omega: arb) -> _Loss:
    return lambda x: x * x * a - (x * omega).sin() * b


def _parabola(h: arb, b: arb) -> _Loss:
    half = h / 2
    return lambda x: x * x * half - x * b


def _formulas(tasks: Any) -> list[_Loss]:
    from maml_ode.theory.intervals.formulas import stable_derivatives, symbols

    slots = {symbol: k for k, symbol in enumerate(symbols(tasks))}
    reader: ExpressionReader[arb_series] = ExpressionReader(_SERIES, slots)
    [formula] = stable_derivatives(tasks, [0])
    loss = reader.read(formula)

    def of_task(i: int) -> _Loss:
        values = [arb_series([arb(float(column[i]))]) for column in tasks.parameters.values()]
        return lambda x: loss([x, *values])

    return [of_task(i) for i in range(tasks.n_tasks)]


def _sinh(x: arb_series) -> arb_series:
    return (x.exp() - (-x).exp()) / 2


def _cosh(x: arb_series) -> arb_series:
    return (x.exp() + (-x).exp()) / 2


def _odd(function: Callable[[arb_series], arb_series]) -> Callable[[arb_series], arb_series]:
    """Evaluate an odd function on the side on which its formula does not cancel."""
    return lambda x: function(x) if x[0].mid() >= 0 else -function(-x)


def _tanh(x: arb_series) -> arb_series:
    small = (-2 * x).exp()
    return (1 - small) / (1 + small)


def _at_argument(x: arb_series, outer: list[arb]) -> arb_series:
    """Return the function with Taylor coefficients ``outer`` at x[0], a ball, of the series ``x``."""
    h1, h2, h3 = x[1], x[2], x[3]
    # not by products of series: nothing times what is not known is not known
    return arb_series(
        [
            outer[0],
            outer[1] * h1,
            outer[1] * h2 + outer[2] * h1 * h1,
            outer[1] * h3 + 2 * outer[2] * h1 * h2 + outer[3] * h1 * h1 * h1,
        ],
        x.prec,
    )


def _logistic_at(x: arb) -> tuple[arb, arb, arb, arb]:
    """Return balls of the logistic function and its derivatives up to the third, narrow on wide balls."""
    low, high = arb(x.lower()), arb(x.upper())
    value = (1 / (1 + (-low).exp())).union(1 / (1 + (-high).exp()))
    slope = _logistic_slope_at(low).union(_logistic_slope_at(high))
    if not (low > 0 or high < 0):
        slope = slope.union(arb(1) / 4)
    t = (low / 2).tanh().union((high / 2).tanh())
    return value, slope, -slope * t, slope * (t * t - 2 * slope)


def _logistic_slope_at(x: arb) -> arb:
    return 1 / (2 + x.exp() + (-x).exp())


def _logistic(x: arb_series) -> arb_series:
    value, first, second, third = _logistic_at(x[0])
    return _at_argument(x, [value, first, second / 2, third / 6])


def _logistic_slope(x: arb_series) -> arb_series:
    _, value, first, second = _logistic_at(x[0])
    t = (x[0] / 2).tanh()
    return _at_argument(x, [value, first, second / 2, value * t * (8 * value - t * t) / 6])


def _softplus(x: arb_series) -> arb_series:
    first, second, third, _ = _logistic_at(x[0])
    return _at_argument(x, [(1 + x[0].exp()).log(), first, second / 2, third / 6])


def _log_addition(a: arb_series, b: arb_series, difference: arb_series) -> arb_series:
    return b + _softplus(difference)


_FUNCTIONS: dict[str, Callable[..., arb_series]] = {
    "sin": arb_series.sin,
    "cos": arb_series.cos,
    "tan": arb_series.tan,
    "asin": arb_series.asin,
    "acos": arb_series.acos,
    "atan": arb_series.atan,
    "exp": arb_series.exp,
    "log": arb_series.log,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _odd(_tanh),
    "asinh": _odd(lambda x: (x + (x * x + 1).sqrt()).log()),
    "acosh": lambda x: (x + (x * x - 1).sqrt()).log(),
    "atanh": lambda x: ((1 + x).log() - (1 - x).log()) / 2,
    "erf": arb_series.erf,
    # those of the stable form of a formula
    "Logistic": _logistic,
    "LogisticSlope": _logistic_slope,
    "Tanh": lambda x: 2 * _logistic(2 * x) - 1,
    "LogCosh": lambda x: _softplus(2 * x) - x - arb(2).log(),
    "Log1p": lambda x: (1 + x).log(),
    "LogAddition": _log_addition,
}


def _repeated(base: arb_series, times: int) -> arb_series:
    """Return a power by repeated squaring, which does not mind a base that contains 0."""
    result = None
    while times:
        if times & 1:
            result = base if result is None else result * base
        base = base * base
        times >>= 1
    return arb_series([1]) if result is None else result


def _rational_power(base: arb_series, p: int, q: int) -> arb_series:
    if p < 0:
        return 1 / _rational_power(base, -p, q)
    if q == 1:
        return _repeated(base, p)
    return _repeated(base.sqrt(), p) if q == 2 else (base.log() * fmpq(p, q)).exp()


def _signed_power(base: arb_series, p: int, q: int, s: int) -> arb_series:
    """Return |base|^(p/q) sign(base)^s; across 0 as far as its derivatives are bounded there."""
    at = base[0]
    if at > 0 or at < 0:
        size = _rational_power(base if at > 0 else -base, p, q)
        return -size if s and at < 0 else size
    return _at_argument(base, [_signed_coefficient(at, p, q, s, order) for order in range(_ORDERS)])


def _signed_coefficient(x: arb, p: int, q: int, s: int, order: int) -> arb:
    """Return the Taylor coefficient of |x|^(p/q) sign(x)^s at a ball that contains 0."""
    factor = fmpq(1)
    for k in range(order):
        factor *= fmpq(p - k * q, q * (k + 1))
    exponent, odd = fmpq(p - order * q, q), (s + order) % 2
    if exponent < 0:
        return arb.nan()
    largest = arb(1) if exponent == 0 else arb(abs(x).upper()) ** exponent
    return (arb(0).union(largest) if not odd else largest.union(-largest)) * factor


def _power(base: arb_series, exponent: arb_series) -> arb_series:
    return (base.log() * exponent).exp()


_SERIES: Arithmetic[arb_series] = Arithmetic(
    _FUNCTIONS, lambda ball: arb_series([ball]), _rational_power, _signed_power, _power
)
