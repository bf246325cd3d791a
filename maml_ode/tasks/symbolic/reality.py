"""Refuse formulas that are real nowhere: roots and logarithms of what is negative for all values of its names.

Where a formula is real somewhere, the rest is outside its domain and evaluates to NaN.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from maml_ode.tasks.symbolic.linear_forms import sum_of
from maml_ode.tasks.symbolic.signs import sign
from maml_ode.tasks.symbolic.steps import Steps
from maml_ode.tasks.symbolic.tree import CONSTANTS, Call, Node, Number, Power, children, names

__all__ = ["check_real"]


def check_real(node: Node, variables: Collection[str], parameters: Collection[str]) -> None:
    """Check every part of the tree.

    Raises
    ------
    ValueError
        If a part is the root, the logarithm or another function of what it is real for nowhere.
    """
    known = {name: 1 for name in CONSTANTS if name not in variables and name not in parameters}
    pending = [node]
    while pending:
        part = pending.pop()
        pending += children(part)
        what = _trouble(part, variables, known)
        if what:
            raise ValueError(
                f"expression: {what} for all values of its names, so that the loss is not a real number "
                "anywhere; look for a wrong sign."
            )


def _trouble(part: Node, variables: Collection[str], known: dict[str, int]) -> str:
    match part:
        case Power(base, Number(exponent)) if Fraction(exponent).denominator > 1:
            return "it takes a root of what is negative" if sign(base, known) < 0 else ""
        case Power(base, exponent) if set(names(exponent)) & set(variables):
            negative = sign(base, known) < 0 or _is_negative_constant(base, known)
            return "it raises what is negative to a power that varies" if negative else ""
        case Call("log" | "sqrt" as function, x):
            return f"{function} is taken of what is negative" if sign(x, known) < 0 else ""
        case Call("acosh", x):
            below = sign(sum_of([x, Number(-1)]), known) < 0
            return "acosh is taken of what is below 1" if below else ""
        case Call("asin" | "acos" | "atanh" as function, x):
            above = sign(sum_of([x, Number(-1)]), known) > 0
            below = sign(sum_of([x, Number(1)]), known) < 0
            return f"{function} is taken of what is beyond 1 or -1" if above or below else ""
        case _:
            return ""


def _is_negative_constant(node: Node, known: dict[str, int]) -> bool:
    return set(names(node)) <= set(known) and float(Steps(node, {}).value) < 0.0
