"""Intervals outside which F has no critical points."""

from __future__ import annotations

from maml_ode.tasks.base import TaskFamily
from maml_ode.tasks.sinusoid import Sinusoid
from maml_ode.theory.intervals.balls import arb, hull, precision

__all__ = ["confining_interval"]

_BITS = 64


def confining_interval(
    tasks: TaskFamily, alpha_low: float, alpha_high: float
) -> tuple[float, float] | None:
    """Return an interval with every critical point of F in its interior, or None if none is known.

    It holds for all alpha in [alpha_low, alpha_high].

    Quadratic tasks: F' = G w - c has one root if G > 0 or G < 0.

    Sinusoids: if f_i' < 0 on the left of an interval, f_i' > 0 on its right and |alpha| L_i < 1 for all i,
    then outside it a gradient step keeps the sign, f_i'(u_i) = (1 - alpha average of f_i'') f_i'(w), and
    F' = sum p_i (1 - alpha f_i'') f_i'(u_i) has that sign too. For f_i = a_i w^2 - b_i sin(omega_i w)
    with a_i > 0 the interval |w| <= max |b_i omega_i|/(2 a_i) will do.
    """
    with precision(_BITS):
        if tasks.quadratic is not None and tasks.dim == 1:
            return _of_quadratics(tasks, hull(alpha_low, alpha_high))
        if isinstance(tasks, Sinusoid):
            return _of_sinusoids(tasks, arb(max(abs(alpha_low), abs(alpha_high))))
    return None


def _of_quadratics(tasks: TaskFamily, alpha: arb) -> tuple[float, float] | None:
    terms = tasks.quadratic
    G = c = arb(0)
    if terms is not None:
        for p, h, b in zip(tasks.weights, terms.H[:, 0, 0], terms.b[:, 0], strict=True):
            curvature = arb(float(h))
            factor = arb(float(p)) * (1 - alpha * curvature) ** 2
            G += curvature * factor
            c += arb(float(b)) * factor
    root = c / G
    if not root.is_finite():
        return None
    low, high = float(root.lower()), float(root.upper())
    # as wide as the root is far, so that F' has a sign at the ends
    return low - 1.0 - abs(low), high + 1.0 + abs(high)


def _of_sinusoids(tasks: Sinusoid, alpha: arb) -> tuple[float, float] | None:
    reach = arb(0)
    for p, *row in zip(tasks.weights, tasks.a, tasks.b, tasks.omega, strict=True):
        if p == 0:
            continue
        a, b, omega = (arb(float(x)) for x in row)
        if not (a > 0 and alpha * (2 * a + abs(b) * omega**2) < 1):
            return None
        reach = reach.max(abs(b * omega) / (2 * a))
    # a root at the end itself could not be told from one beyond
    end = float(reach.upper()) * 1.001 + 1e-6
    return -end, end
