"""Constants of f_i(w) = a_i w^2 - b_i sin(omega_i w), in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from maml_ode._validation import Array
from maml_ode.tasks.sinusoid import Sinusoid
from maml_ode.theory.family_constants.model import Constants, assemble, register
from maml_ode.theory.quantities import Status
from maml_ode.theory.regions import Region

__all__ = ["common_period", "supremum"]

_TOLERANCE = 1e-12


@register(Sinusoid)
def _from_family(tasks: Sinusoid, region: Region | None) -> Constants:
    """f_i'' = 2 a_i + b_i omega_i^2 sin(omega_i w): L_i, mu_i, kappa_i are attained.

    If all a_i are equal, sd is that of b_i omega_i cos(omega_i w) and bounded. Its supremum, and
    the extremes of f'', are found over the common period of the omega_i where there is one that is
    not too long; otherwise by treating the phases as independent.
    """
    p, a, b, omega = tasks.weights, tasks.a, tasks.b, np.abs(tasks.omega)
    bend, slope = np.abs(b) * omega**2, np.abs(b) * omega
    period = common_period(omega[bend > 0])
    exact = dict.fromkeys(("mu", "L", "kappa"), Status.EXACT)
    notes = {"mu": "2 a - |b| omega^2", "L": "2 a + |b| omega^2", "kappa": "|b| |omega|^3"}

    def mean_bend(w: Array) -> tuple[Array, Array]:
        phase = np.outer(w, tasks.omega)
        factors = p * tasks.b * tasks.omega**2
        return np.sin(phase) @ factors, np.cos(phase) @ (factors * tasks.omega)

    def negative(w: Array) -> tuple[Array, Array]:
        value, derivative = mean_bend(w)
        return -value, derivative

    ceiling, fourth = float(p @ bend), float(p @ (bend * omega**2))
    top, top_exact = supremum(mean_bend, fourth, ceiling, period)
    bottom, bottom_exact = supremum(negative, fourth, ceiling, period)
    centre = 2.0 * float(p @ a)
    exact["L_f"] = Status.EXACT if top_exact else Status.BOUND
    exact["mu_f"] = Status.EXACT if bottom_exact else Status.BOUND

    sigma = math.inf
    if float(np.ptp(a)) == 0.0:

        def variance(w: Array) -> tuple[Array, Array]:
            phase = np.outer(w, tasks.omega)
            g = tasks.b * tasks.omega * np.cos(phase)
            falls = tasks.b * tasks.omega**2 * np.sin(phase)
            centred = g - (g @ p)[:, None]
            return centred**2 @ p, 2.0 * (centred * falls) @ p

        steepest = _bend_of_variance(slope, omega, p)
        square, sigma_exact = supremum(variance, steepest, _independent_variance(slope, p), period)
        sigma = math.sqrt(square)
        exact["sigma"] = Status.EXACT if sigma_exact else Status.BOUND
        notes["sigma"] = "sd of b omega cos(omega w): all a are equal"
    else:
        notes["sigma"] = "unbounded: the a_i differ"
        exact["sigma"] = Status.EXACT
    return assemble(
        tasks,
        region,
        mu_i=2.0 * a - bend,
        L_i=2.0 * a + bend,
        kappa_i=bend * omega,
        status=exact,
        notes=notes,
        mu_f=centre - bottom,
        L_f=centre + top,
        sigma=sigma,
    )


def common_period(omega: Array) -> float | None:
    """Return the common period of cos(omega_i w), None if it holds over 10^4 oscillations."""
    if omega.size == 0:
        return 1.0
    fractions = [Fraction(float(x)) for x in omega]
    denominator = math.lcm(*(f.denominator for f in fractions))
    divisor = math.gcd(*(int(f * denominator) for f in fractions))
    if float(omega.max()) * denominator / divisor > 1e4:
        return None
    return 2.0 * math.pi * denominator / divisor


def supremum(
    function: Callable[[Array], tuple[Array, Array]],
    second: float,
    ceiling: float,
    period: float | None,
) -> tuple[float, bool]:
    """Return an upper bound of sup ``function`` and whether it is attained to 1e-12 relative.

    Branch and bound over one period: an interval of half-width h about w cannot exceed
    function(w) + |function'(w)| h + second h^2/2.

    Parameters
    ----------
    function : callable
        Returns values and derivatives, or these with the other sign, on an array of points; of period ``period``.
    second : float
        An upper bound of the second derivative.
    ceiling : float
        A known upper bound, returned where there is no period.
    """
    if period is None or ceiling == 0.0 or not math.isfinite(ceiling):
        return ceiling, ceiling == 0.0
    count = 4096
    half = 0.5 * period / count
    centres: Array = half * np.arange(1.0, 2 * count, 2.0)
    best, tolerance = -math.inf, _TOLERANCE * abs(ceiling)
    evaluated = 0
    while True:
        values, derivatives = function(centres)
        evaluated += centres.size
        best = max(best, float(values.max()))
        upper = values + np.abs(derivatives) * half + 0.5 * second * half * half
        keep = upper > best + 0.5 * tolerance
        bound = max(float(upper.max()), best + 0.5 * tolerance)
        if bound - best <= tolerance or evaluated > 1_000_000:
            break
        half *= 0.5
        centres = np.concatenate([centres[keep] - half, centres[keep] + half]).astype(np.float64)
    bound = min(bound, ceiling)
    return bound, bound - best <= tolerance


def _bend_of_variance(slope: Array, omega: Array, weights: Array) -> float:
    """Return an upper bound of the second derivative of the variance of g_i = +-slope_i cos(omega_i w).

    The sum of its amplitudes as a sum of waves: 2 p_i (1 - p_i) (slope_i omega_i)^2 of cos(2 omega_i w), and
    p_i p_j slope_i slope_j (omega_i +- omega_j)^2 of cos((omega_i +- omega_j) w), i < j. Attained by two waves of
    one frequency and opposite signs.
    """
    parts = weights * slope
    pairs = (parts.sum() * (parts @ omega**2)) - 2.0 * float(parts**2 @ omega**2)
    return 2.0 * float(weights @ (slope * omega) ** 2 + pairs)


def _independent_variance(slope: Array, weights: Array) -> float:
    """Return the maximum variance of slope_i u_i over u in [-1, 1]^M: convex, so at a corner."""
    if slope.size > 12:
        return float(weights @ slope**2)
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * (slope.size - 1), [1.0])).reshape(
        slope.size, -1
    )
    values = corners.T * slope
    mean = values @ weights
    return float(((values**2) @ weights - mean**2).max())
