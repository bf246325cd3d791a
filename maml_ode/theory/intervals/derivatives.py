"""Enclosures of F' and F'' for task families of one variable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maml_ode.tasks.base import TaskFamily
from maml_ode.tasks.quadratic import Quadratic
from maml_ode.tasks.sinusoid import Sinusoid
from maml_ode.theory.intervals.arrays import IntervalArray, cos, sin

__all__ = ["MAMLEnclosure", "confining_interval"]

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


def confining_interval(tasks: TaskFamily, alpha: float) -> tuple[float, float] | None:
    """Return an interval that contains every critical point of F, or None if none is known.

    If f_i' < 0 on the left of it, f_i' > 0 on the right and alpha L_i < 1 for all i, then outside
    it a gradient step keeps the sign, f_i'(u_i) = (1 - alpha average of f_i'') f_i'(w), and F' =
    sum p_i (1 - alpha f_i'') f_i'(u_i) has that sign too. For f_i = a_i w^2 - b_i sin(omega_i w)
    with a_i > 0 the interval |w| <= max |b_i omega_i|/(2 a_i) will do.
    """
    if not isinstance(tasks, Sinusoid):
        return None
    used = tasks.weights > 0
    a, b, omega = (
        IntervalArray.of(np.abs(x[used]) if k else x[used])
        for k, x in enumerate((tasks.a, tasks.b, tasks.omega))
    )
    if not ((a.lower > 0).all() and ((2.0 * a + b * omega.square()) * alpha).upper.max() < 1.0):
        return None
    reach = float((b * omega / (2.0 * a)).upper.max())
    # a root at the end itself could not be told from one beyond
    reach += 1e-3 * reach + 1e-6
    return -reach, reach


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


def _formulas(tasks: TaskFamily) -> list[TaskDerivatives]:
    """Return the derivatives of a Symbolic family through ``mpmath.iv``, one interval at a time."""
    import sympy

    from maml_ode.tasks.symbolic.family import Symbolic
    from maml_ode.theory.intervals.expressions import IntervalFunction, Unenclosable, interval

    if not isinstance(tasks, Symbolic):
        raise TypeError(f"tasks must be a Symbolic family, not {type(tasks).__name__}.")
    variable = sympy.Symbol(tasks.variables[0])
    function = IntervalFunction(
        [sympy.diff(tasks.expression, variable, order) for order in (1, 2, 3)]
    )

    def of_task(i: int) -> TaskDerivatives:
        values = {
            sympy.Symbol(name): interval(float(column[i]))
            for name, column in tasks.parameters.items()
        }

        def derivatives(w: IntervalArray) -> Three:
            rows = np.full((3, 2, np.size(w.lower)), np.inf) * np.array([[-1.0], [1.0]])
            for k, (low, high) in enumerate(zip(np.ravel(w.lower), np.ravel(w.upper), strict=True)):
                if not (np.isfinite(low) and np.isfinite(high)):
                    continue
                try:
                    found = function({**values, variable: interval(float(low), float(high))})
                except Unenclosable:
                    continue
                for order, x in enumerate(found):
                    rows[order, :, k] = (
                        np.nextafter(float(x.a), -np.inf),
                        np.nextafter(float(x.b), np.inf),
                    )
            shape = np.shape(w.lower)
            first, second, third = (
                IntervalArray(row[0].reshape(shape), row[1].reshape(shape)) for row in rows
            )
            return first, second, third

        return derivatives

    return [of_task(i) for i in range(tasks.n_tasks)]
