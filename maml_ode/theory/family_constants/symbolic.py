"""Constants of a `Symbolic` family in one variable, by interval branch and bound."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from maml_ode.tasks.symbolic.family import Symbolic
from maml_ode.theory.budget import check_time
from maml_ode.theory.family_constants.model import Constants, assemble, register
from maml_ode.theory.family_constants.sampling import sampled_constants
from maml_ode.theory.intervals.work import Work
from maml_ode.theory.quantities import Status
from maml_ode.theory.regions import Region, Sublevel, enclosing_ball

if TYPE_CHECKING:
    from maml_ode.theory.intervals.enclosure import Enclosure

__all__: list[str] = []

# Of this thread. Searches are limited by their number of boxes; this is for formulas that are slow to enclose.
MAX_SECONDS, MAX_SECONDS_PER_TASK = 2.0, 0.2


@register(Symbolic)
def _from_family(tasks: Symbolic, region: Region | None) -> Constants:
    """Enclose the extremes of f_i'', f_i''' and sd on an interval; estimate them in more variables.

    An expression with a function that has no interval version is estimated too.
    """
    if tasks.dim != 1 or region is None or isinstance(region, Sublevel):
        return sampled_constants(tasks, region)
    from maml_ode.theory.intervals.enclosure import Unenclosable

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
        from maml_ode.theory.intervals.expressions import IntervalFunction, interval
        from maml_ode.theory.intervals.formulas import stable_derivatives, symbols

        self._variable, *parameters = symbols(tasks)
        derivatives = stable_derivatives(tasks, (1, 2, 3, 4))
        # a derivative with its own, by the order of the first
        self._pairs = {k: IntervalFunction(derivatives[k - 1 : k + 1]) for k in (1, 2, 3)}
        self._alone = {k: IntervalFunction(derivatives[k - 1 : k]) for k in (1, 2, 3)}
        self._parameters = [
            {
                symbol: interval(float(values[i]))
                for symbol, values in zip(parameters, tasks.parameters.values(), strict=True)
            }
            for i in range(tasks.n_tasks)
        ]
        self.weights = [interval(float(p)) for p in tasks.weights]

    def at(self, i: int, order: int, x: Enclosure) -> list[Enclosure]:
        """Return enclosures of derivatives ``order`` and ``order`` + 1 of f_i on ``x``."""
        check_time()
        return self._pairs[order]({self._variable: x, **self._parameters[i]})

    def task(self, i: int, order: int, sign: int) -> Callable[[Enclosure], tuple[Any, Any]]:
        """Return sign times derivative ``order`` of f_i with its own derivative, None where that has no bounds."""
        from maml_ode.theory.intervals.enclosure import Unenclosable

        def evaluate(x: Enclosure) -> tuple[Any, Any]:
            try:
                value, slope = self.at(i, order, x)
            except Unenclosable:
                [value] = self._alone[order]({self._variable: x, **self._parameters[i]})
                return sign * value, None
            return sign * value, sign * slope

        return evaluate

    def mean(self, sign: int) -> Callable[[Enclosure], tuple[Any, Any]]:
        """Return sign times f'' with its derivative."""

        def evaluate(x: Enclosure) -> tuple[Any, Any]:
            rows = [self.at(i, 2, x) for i in range(len(self.weights))]
            value = sum(p * row[0] for p, row in zip(self.weights, rows, strict=True))
            slope = sum(p * row[1] for p, row in zip(self.weights, rows, strict=True))
            return sign * value, sign * slope

        return evaluate

    def variance(self, x: Enclosure) -> tuple[Any, Any]:
        """Return sum p_i (f_i' - f')^2 with its derivative."""
        rows = [self.at(i, 1, x) for i in range(len(self.weights))]
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
    signs = ((2, 1), (2, -1), (3, 1), (3, -1))
    functions = [family.task(i, order, sign) for order, sign in signs for i in range(M)]
    functions += [family.mean(1), family.mean(-1), family.variance]
    seconds = MAX_SECONDS + M * MAX_SECONDS_PER_TASK
    work, cut_short = Work(seconds, time.thread_time), False
    found = []
    for n, function in enumerate(functions):
        part = Work(work.left / (len(functions) - n), time.thread_time)
        found.append(supremum(function, lower, upper, max_boxes=max(300, 3000 // M), work=part))
        cut_short |= part.over
    bounds = np.array([bound for _, bound in found])
    widest = max(bound - attained for attained, bound in found)
    top_bend, top_drop, top_third, top_fall = bounds[:-3].reshape(4, M)
    sigma = math.sqrt(max(bounds[-1], 0.0)) * (1 + 1e-15)
    names = ("mu", "L", "kappa", "mu_f", "L_f", "sigma")
    note = f"interval arithmetic on [{lower:g}, {upper:g}]"
    if cut_short:
        note += f", ended after {seconds:g} s"
    return assemble(
        tasks,
        region,
        mu_i=-top_drop,
        L_i=top_bend,
        kappa_i=np.maximum(np.maximum(top_third, top_fall), 0.0),
        status=dict.fromkeys(names, Status.BOUND),
        notes={**dict.fromkeys(names, note), "sigma": f"{note}, within {widest:.1g}"},
        mu_f=-float(bounds[-2]),
        L_f=float(bounds[-3]),
        sigma=sigma,
    )
