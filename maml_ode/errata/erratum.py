"""What an erratum is: a statement, an example on which it fails, and what holds instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Comparison", "Erratum", "Evidence", "OneVariable", "line", "parabola"]

Function = Callable[[float], float]

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Comparison:
    """Two numbers and the relation that is claimed between them.

    Attributes
    ----------
    left_name : str
    left : float
    relation : {"<=", ">=", "="}
    right_name : str
    right : float

    Examples
    --------
    >>> from maml_ode.errata import Comparison
    >>> claim = Comparison("F''(0)", -1.2, ">=", "mu/8", 0.125)
    >>> print(claim), claim.holds
    F''(0) >= mu/8: -1.2 >= 0.125
    (None, False)
    """

    left_name: str
    left: float
    relation: str
    right_name: str
    right: float

    @property
    def holds(self) -> bool:
        """Whether the relation holds, up to rounding (1e-9 relative)."""
        if self.left == self.right:
            return True
        slack = _ROUNDING * max(abs(self.left), abs(self.right), 1e-3)
        slack = slack if math.isfinite(slack) else 0.0
        gap = self.right - self.left
        within = {"<=": gap >= -slack, ">=": gap <= slack, "=": abs(gap) <= slack}
        return within[self.relation]

    def __str__(self) -> str:
        return (
            f"{self.left_name} {self.relation} {self.right_name}: "
            f"{self.left:.5g} {self.relation} {self.right:.5g}"
        )


@dataclass(frozen=True)
class Evidence:
    """A statement and its correction, evaluated on one example.

    Attributes
    ----------
    example : str
        The example, complete enough to repeat it.
    printed : Comparison or None
        What the paper claims of it; violated. None where there is no claim to violate.
    corrected : Comparison or None
        What holds instead, on the same example.
    numbers : dict of str to float
        Further computed numbers.

    Examples
    --------
    >>> from maml_ode.errata import errata
    >>> found = errata()[0].counterexample()
    >>> found.printed.holds, found.corrected.holds
    (False, True)
    """

    example: str
    printed: Comparison | None = None
    corrected: Comparison | None = None
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Erratum:
    """One statement of the paper that needs correction.

    Attributes
    ----------
    statement : str
        Its number in the paper.
    printed : str
        What it says, in our words.
    verdict : {"true after repair", "false", "gap"}
        "gap": what is said is not wrong, but does not carry what rests on it.
    counterexample : callable
        Computes an `Evidence`, in well under a second.
    corrected : str
    proof : str
        A sketch.
    computed_by : tuple of str
        The functions that give what holds instead, as ``mo.theory...`` with ``import maml_ode as mo``.

    Examples
    --------
    >>> from maml_ode.errata import errata
    >>> item = errata()[0]
    >>> item.statement, item.verdict, item.counterexample().printed.holds
    ('Assumption 3.3', 'false', False)
    """

    statement: str
    printed: str
    verdict: str
    counterexample: Callable[[], Evidence]
    corrected: str
    proof: str
    computed_by: tuple[str, ...]


@dataclass(frozen=True)
class OneVariable:
    """Equally weighted tasks in one variable, each by its first three derivatives.

    Written apart from the library's families, so that examples do not rest on the code that they
    are to justify.
    """

    tasks: Sequence[tuple[Function, Function, Function]]
    alpha: float

    def task_gradients(self, w: float) -> list[float]:
        """Return f_i'(w)."""
        return [first(w) for first, _, _ in self.tasks]

    def gradient(self, w: float) -> float:
        """Return f'(w)."""
        return sum(self.task_gradients(w)) / len(self.tasks)

    def maml_gradient(self, w: float) -> float:
        """Return F'(w)."""
        total = 0.0
        for first, second, _ in self.tasks:
            total += (1.0 - self.alpha * second(w)) * first(w - self.alpha * first(w))
        return total / len(self.tasks)

    def maml_curvature(self, w: float) -> float:
        """Return F''(w)."""
        total = 0.0
        for first, second, third in self.tasks:
            u = w - self.alpha * first(w)
            A = 1.0 - self.alpha * second(w)
            total += A * A * second(u) - self.alpha * third(w) * first(u)
        return total / len(self.tasks)

    def maml_decrease_time(self, start: float, tolerance: float, step: float) -> float:
        """Return the time at which |F'| falls to ``tolerance`` along w' = -F', by RK4 steps."""
        w, t = start, 0.0
        while abs(self.maml_gradient(w)) > tolerance:
            k1 = self.maml_gradient(w)
            k2 = self.maml_gradient(w - 0.5 * step * k1)
            k3 = self.maml_gradient(w - 0.5 * step * k2)
            k4 = self.maml_gradient(w - step * k3)
            w -= step * (k1 + 2.0 * k2 + 2.0 * k3 + k4) / 6.0
            t += step
        return t


def parabola(curvature: float, minimiser: float = 0.0) -> tuple[Function, Function, Function]:
    """Return the derivatives of curvature (w - minimiser)^2/2."""
    return (lambda w: curvature * (w - minimiser), lambda w: curvature, lambda w: 0.0)


def line(
    curvature: float, slope: float, bend: float, sign: float = 1.0
) -> tuple[Function, Function, Function]:
    """Return the derivatives of curvature w^2/2 + sign (slope w - bend sin w).

    With ``sign`` = -1 it is the loss with ``sign`` = 1 at -w.
    """
    return (
        lambda w: curvature * w + sign * (slope - bend * math.cos(w)),
        lambda w: curvature + sign * bend * math.sin(w),
        lambda w: sign * bend * math.cos(w),
    )
