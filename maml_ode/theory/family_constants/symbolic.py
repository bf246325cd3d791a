"""Constants of a `Symbolic` family in one variable, by interval branch and bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode.tasks.symbolic.family import Symbolic
from maml_ode.theory.family_constants.model import Constants, assemble, register
from maml_ode.theory.family_constants.sampling import sampled_constants
from maml_ode.theory.intervals.work import Work
from maml_ode.theory.quantities import Status
from maml_ode.theory.regions import Region, Sublevel, enclosing_ball

if TYPE_CHECKING:
    from maml_ode.theory.intervals.expressions import Enclosure

__all__: list[str] = []

# The search is limited by its number of boxes; this is for formulas that are slow to enclose.
MAX_SECONDS = 2.0


@register(Symbolic)
def _from_family(tasks: Symbolic, region: Region | None) -> Constants:
    """Enclose the extremes of f_i'', f_i''' and sd on an interval; estimate them in more variables.

    An expression with a function that has no interval version is estimated too.
    """
    if tasks.dim != 1 or region is None or isinstance(region, Sublevel):
        return sampled_constants(tasks, region)
    from maml_ode.theory.intervals.expressions import Unenclosable

    ball = enclosing_ball(region, None, math.nan)
    lower = math.nextafter(float(ball.center[0]) - ball.radius, -math.inf)
    upper = math.nextafter(float(ball.center[0]) + ball.radius, math.inf)
    try:
        return _enclosed(tasks, region, lower, upper)
    except Unenclosable:
        return sampled_constants(tasks, region)


class _Tasks:
    """Derivatives one to four of every task on an interval."""

    def __init__(self, tasks: Symbolic) -> None:
        import sympy

        from maml_ode.theory.intervals.expressions import IntervalFunction, exact, interval

        variable = sympy.Symbol(tasks.variables[0])
        formula = exact(tasks.expression)
        derivatives = [sympy.diff(formula, variable, order) for order in range(1, 5)]
        self._function = IntervalFunction(derivatives)
        self._variable = variable
        self._parameters = [
            {
                sympy.Symbol(name): interval(float(values[i]))
                for name, values in tasks.parameters.items()
            }
            for i in range(tasks.n_tasks)
        ]
        self.weights = [interval(float(p)) for p in tasks.weights]

    def at(self, i: int, x: Enclosure) -> list[Enclosure]:
        """Return enclosures of f_i', f_i'', f_i''', f_i'''' on ``x``."""
        return self._function({self._variable: x, **self._parameters[i]})

    def task(self, i: int, order: int, sign: int) -> Callable[[Enclosure], tuple[Any, Any]]:
        """Return sign times derivative ``order`` of f_i with its own derivative."""

        def evaluate(x: Enclosure) -> tuple[Any, Any]:
            values = self.at(i, x)
            return sign * values[order - 1], sign * values[order]

        return evaluate

    def mean(self, sign: int) -> Callable[[Enclosure], tuple[Any, Any]]:
        """Return sign times f'' with its derivative."""

        def evaluate(x: Enclosure) -> tuple[Any, Any]:
            rows = [self.at(i, x) for i in range(len(self.weights))]
            value = sum(p * row[1] for p, row in zip(self.weights, rows, strict=True))
            slope = sum(p * row[2] for p, row in zip(self.weights, rows, strict=True))
            return sign * value, sign * slope

        return evaluate

    def variance(self, x: Enclosure) -> tuple[Any, Any]:
        """Return sum p_i (f_i' - f')^2 with its derivative."""
        rows = [self.at(i, x) for i in range(len(self.weights))]
        pairs = list(zip(self.weights, rows, strict=True))
        mean = sum(p * row[0] for p, row in pairs)
        bend = sum(p * row[1] for p, row in pairs)
        value = sum(p * (row[0] - mean) ** 2 for p, row in pairs)
        slope = sum(2 * p * (row[0] - mean) * (row[1] - bend) for p, row in pairs)
        return value, slope


def _enclosed(tasks: Symbolic, region: Region, lower: float, upper: float) -> Constants:
    from maml_ode.theory.intervals.expressions import supremum

    family = _Tasks(tasks)
    M = tasks.n_tasks
    widths = []
    work = Work(MAX_SECONDS)

    def top(function: Callable[[Enclosure], tuple[Any, Any]]) -> float:
        attained, bound = supremum(function, lower, upper, max_boxes=max(300, 3000 // M), work=work)
        widths.append(bound - attained)
        return bound

    L_i = np.array([top(family.task(i, 2, 1)) for i in range(M)])
    mu_i = np.array([-top(family.task(i, 2, -1)) for i in range(M)])
    kappa_i = np.array(
        [max(top(family.task(i, 3, 1)), top(family.task(i, 3, -1)), 0.0) for i in range(M)]
    )
    L_f, mu_f = top(family.mean(1)), -top(family.mean(-1))
    sigma = math.sqrt(max(top(family.variance), 0.0)) * (1 + 1e-15)
    names = ("mu", "L", "kappa", "mu_f", "L_f", "sigma")
    note = f"interval arithmetic on [{lower:g}, {upper:g}]"
    if work.over:
        note += f", ended after {MAX_SECONDS:g} s"
    return assemble(
        tasks,
        region,
        mu_i=mu_i,
        L_i=L_i,
        kappa_i=kappa_i,
        status=dict.fromkeys(names, Status.BOUND),
        notes={**dict.fromkeys(names, note), "sigma": f"{note}, within {max(widths):.1g}"},
        mu_f=mu_f,
        L_f=L_f,
        sigma=sigma,
    )
