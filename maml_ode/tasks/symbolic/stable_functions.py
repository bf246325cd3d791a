"""Functions that derived code may hold beside those of the grammar: exact where exponentials overflow or cancel.

With s(x) = 1/(1 + exp(-x)), the logistic function,

    log_add(a, b) = log(exp(a) + exp(b)),     d log_add = s(a - b) da + s(b - a) db,
    s' = s(x) s(-x) =: slope(x),              slope' = -slope(x) tanh(x/2),
    tanh' = 4 slope(2 x),                     (log cosh)' = tanh,

so that no derivative of any order overflows, or subtracts what is nearly equal.
"""

from __future__ import annotations

from typing import Any

import sympy

__all__ = ["OVERFLOW_FREE", "SOURCES", "STABLE", "Log1p", "LogAddition"]


class _Stable(sympy.Function):
    """A function of one argument that prints as ``code``; of a number it is the formula ``plain``."""

    code = ""

    @classmethod
    def eval(cls, x: Any) -> Any:
        """Return the plain formula of a constant."""
        return cls.plain(x) if x.is_number else None

    @classmethod
    def plain(cls, x: Any) -> Any:
        """Return the formula in functions of SymPy's; the function as it stands, if it has none."""
        return cls(x, evaluate=False)


class Logistic(_Stable):
    """1/(1 + exp(-x))."""

    code = "logistic"

    @classmethod
    def plain(cls, x: Any) -> Any:
        """Return the formula."""
        return 1 / (1 + sympy.exp(-x))

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return LogisticSlope(self.args[0])


class LogisticSlope(_Stable):
    """The derivative of the logistic function, logistic(x) logistic(-x)."""

    code = "logistic_slope"

    @classmethod
    def plain(cls, x: Any) -> Any:
        """Return the formula."""
        return 1 / (2 + sympy.exp(x) + sympy.exp(-x))

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return -self * Tanh(self.args[0] / 2)


class Tanh(_Stable):
    """The hyperbolic tangent, with a derivative that does not cancel."""

    code = "math.tanh"

    @classmethod
    def plain(cls, x: Any) -> Any:
        """Return the formula."""
        return sympy.tanh(x)

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return 4 * LogisticSlope(2 * self.args[0])


class LogCosh(_Stable):
    """log(cosh(x))."""

    code = "log_cosh"

    @classmethod
    def plain(cls, x: Any) -> Any:
        """Return the formula."""
        return sympy.log(sympy.cosh(x))

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return Tanh(self.args[0])


class Log1p(_Stable):
    """log(1 + x)."""

    code = "math.log1p"

    @classmethod
    def plain(cls, x: Any) -> Any:
        """Return the formula."""
        return sympy.log(1 + x)

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the derivative."""
        return 1 / (1 + self.args[0])


class LogAddition(sympy.Function):
    """log(exp(a) + exp(b)) with a third argument a - b, which only derivatives read."""

    code = "log_add"

    @classmethod
    def eval(cls, a: Any, b: Any, difference: Any) -> Any:
        """Return the plain formula of constants."""
        if difference.is_number:
            return b + sympy.log(1 + sympy.exp(difference))
        return None

    def fdiff(self, argindex: int = 1) -> Any:
        """Return the part of the derivative that one argument has."""
        difference = self.args[2]
        if argindex == 3:
            return sympy.S.Zero
        return Logistic(difference if argindex == 1 else -difference)


# By the name of a call in a tree.
STABLE: dict[str, Any] = {
    "logistic": Logistic,
    "logistic_slope": LogisticSlope,
    "tanh": Tanh,
    "log_cosh": LogCosh,
    "log1p": Log1p,
}

# A formula without them is as it was written.
OVERFLOW_FREE = (Logistic, LogisticSlope, LogCosh, LogAddition)

_JIT = '\n\n@njit({}, cache=ON_DISK, error_model="numpy")\n'
SOURCES = {
    "logistic": _JIT.format("REAL(REAL)")
    + """\
def logistic(x):
    e = math.exp(-abs(x))
    return e / (1.0 + e) if x < 0.0 else 1.0 / (1.0 + e)
""",
    "logistic_slope": _JIT.format("REAL(REAL)")
    + """\
def logistic_slope(x):
    e = math.exp(-abs(x))
    return e / ((1.0 + e) * (1.0 + e))
""",
    "log_cosh": _JIT.format("REAL(REAL)")
    + """\
def log_cosh(x):
    size = abs(x)
    if size < 1.0:
        half = math.sinh(0.5 * size)
        return math.log1p(2.0 * half * half)
    return size + (math.log1p(math.exp(-2.0 * size)) - 0.6931471805599453)
""",
    "log_add": _JIT.format("REAL(REAL, REAL)")
    + """\
def log_add(a, b):
    if a == b:
        return a + 0.6931471805599453
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))
""",
}
