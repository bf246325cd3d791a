"""Enclosures of F' and F'' for task families of one variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from maml_ode.tasks.base import TaskFamily
from maml_ode.tasks.quadratic import Quadratic
from maml_ode.tasks.sinusoid import Sinusoid
from maml_ode.theory.intervals.arrays import IntervalArray, cos, sin

if TYPE_CHECKING:
    from maml_ode.tasks.symbolic import Symbolic

__all__ = ["MAMLEnclosure"]

Three = tuple[IntervalArray, IntervalArray, IntervalArray]
TaskDerivatives = Callable[[IntervalArray], Three]


class MAMLEnclosure:
    """F' and F'' of a one-dimensional family on intervals of w, for intervals of alpha.

    With u_i = w - alpha f_i'(w) and A_i = 1 - alpha f_i''(w),

        F' = sum p_i A_i f_i'(u_i),    F'' = sum p_i (A_i^2 f_i''(u_i) - alpha f_i'''(w) f_i'(u_i)).

    u_i and F' are also enclosed by their mean-value forms, whose excess is of second order in the
    width of w.

    Parameters
    ----------
    tasks : Sinusoid, Quadratic or Symbolic
        With d = 1.

    Raises
    ------
    ValueError
        For d > 1.
    TypeError
        For another family: without a formula there is nothing to enclose.
    """

    def __init__(self, tasks: TaskFamily) -> None:
        if tasks.dim != 1:
            raise ValueError(
                f"tasks must have d = 1 for certified critical points, but d is {tasks.dim}; "
                "local_certificate works in every dimension."
            )
        self._tasks = [
            (float(p), derivatives)
            for p, derivatives in zip(tasks.weights, _task_derivatives(tasks), strict=True)
            if p > 0
        ]
        one_by_one = not isinstance(tasks, (Sinusoid, Quadratic))
        # cells between two looks at the clock
        self.batch = max(1, (64 if one_by_one else 8192) // len(self._tasks))

    def __call__(
        self, alpha: IntervalArray, w: IntervalArray
    ) -> tuple[IntervalArray, IntervalArray]:
        """Return enclosures of F' and F'', element by element over ``alpha`` and ``w``."""
        centre = w.centre()
        slope = bend = at_centre = IntervalArray.of(np.zeros(np.shape(w.lower)))
        for p, derivatives in self._tasks:
            first, second, third = derivatives(w)
            first_c, second_c, _ = derivatives(centre)
            A, A_c = 1.0 - alpha * second, 1.0 - alpha * second_c
            u_c = centre - alpha * first_c
            u = (w - alpha * first).meet(u_c + A * (w - centre))
            first_u, second_u, _ = derivatives(u)
            slope += p * (A * first_u)
            at_centre += p * (A_c * derivatives(u_c)[0])
            bend += p * (A.square() * second_u - alpha * third * first_u)
        return slope.meet(at_centre + bend * (w - centre)), bend

    def slope(self, alpha: IntervalArray, w: IntervalArray) -> IntervalArray:
        """Return enclosures of F', without mean-value forms: for points ``w``."""
        total = IntervalArray.of(np.zeros(np.shape(w.lower)))
        for p, derivatives in self._tasks:
            first, second, _ = derivatives(w)
            total += p * ((1.0 - alpha * second) * derivatives(w - alpha * first)[0])
        return total


def _task_derivatives(tasks: TaskFamily) -> list[TaskDerivatives]:
    if isinstance(tasks, Sinusoid):
        return [_sinusoid(*map(float, row)) for row in zip(tasks.a, tasks.b, tasks.omega)]  # noqa: B905
    if isinstance(tasks, Quadratic):
        return [
            _parabola(float(h), float(b))
            for h, b in zip(tasks.H[:, 0, 0], tasks.b[:, 0], strict=True)
        ]
    from maml_ode.tasks.symbolic.family import Symbolic

    if isinstance(tasks, Symbolic):
        return _formulas(tasks)
    raise TypeError(
        f"tasks must be a Sinusoid, Quadratic or Symbolic family, whose formulas can be enclosed, not "
        f"{type(tasks).__name__}; local_certificate needs only its constants."
    )


def _sinusoid(a: float, b: float, omega: float) -> TaskDerivatives:
    curvature = 2.0 * a
    amplitude = IntervalArray.of(b)

    def derivatives(w: IntervalArray) -> Three:
        sine, cosine = sin(omega * w), cos(omega * w)
        first = curvature * w - amplitude * omega * cosine
        second = curvature + amplitude * omega * omega * sine
        return first, second, amplitude * omega * omega * omega * cosine

    return derivatives


def _parabola(h: float, b: float) -> TaskDerivatives:
    def derivatives(w: IntervalArray) -> Three:
        zero = np.zeros(np.shape(w.lower))
        return h * w - b, IntervalArray.of(zero + h), IntervalArray.of(zero)

    return derivatives


def _formulas(tasks: Symbolic) -> list[TaskDerivatives]:
    """Return the derivatives of a Symbolic family, one interval at a time."""
    from maml_ode.theory.intervals.enclosure import Unenclosable
    from maml_ode.theory.intervals.expressions import IntervalFunction, interval
    from maml_ode.theory.intervals.formulas import stable_derivatives, symbols

    variable, *parameters = symbols(tasks)
    function = IntervalFunction(stable_derivatives(tasks, (1, 2, 3)))

    def of_task(i: int) -> TaskDerivatives:
        columns = zip(parameters, tasks.parameters.values(), strict=True)
        values = {symbol: interval(float(column[i])) for symbol, column in columns}

        def derivatives(w: IntervalArray) -> Three:
            rows = np.full((3, 2, np.size(w.lower)), np.inf) * np.array([[-1.0], [1.0]])
            for k, (low, high) in enumerate(zip(np.ravel(w.lower), np.ravel(w.upper), strict=True)):
                try:
                    found = function({**values, variable: interval(float(low), float(high))})
                except Unenclosable:
                    continue
                rows[:, :, k] = [(x.lower, x.upper) for x in found]
            shape = np.shape(w.lower)
            first, second, third = (
                IntervalArray(row[0].reshape(shape), row[1].reshape(shape)) for row in rows
            )
            return first, second, third

        return derivatives

    return [of_task(i) for i in range(tasks.n_tasks)]
