"""F' and F'' on balls, from the definition of the MAML loss as a composition of power series.

Nothing is differentiated by hand or by SymPy here, and nothing is shared with the enclosures that
guide the search: what one of them gets wrong the other does not confirm.
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
    import sympy

    slots = {
        sympy.Symbol(name): k for k, name in enumerate((tasks.variables[0], *tasks.parameters))
    }
    reader: ExpressionReader[arb_series] = ExpressionReader(_SERIES, slots)
    formula = reader.read(tasks.expression)

    def of_task(i: int) -> _Loss:
        values = [arb_series([arb(float(column[i]))]) for column in tasks.parameters.values()]
        return lambda x: formula([x, *values])

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


_FUNCTIONS: dict[str, Callable[[arb_series], arb_series]] = {
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


def _power(base: arb_series, exponent: arb_series) -> arb_series:
    return (base.log() * exponent).exp()


_SERIES: Arithmetic[arb_series] = Arithmetic(
    _FUNCTIONS, lambda ball: arb_series([ball]), _rational_power, _power
)
