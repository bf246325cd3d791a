"""Regions of parameter space on which constants may be asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy.typing as npt

from maml_ode._validation import Array, as_array, as_point, check_real, freeze, real_array

__all__ = ["Ball", "Interval", "Region", "RegionNeeded", "Sublevel", "enclosing_ball"]


class RegionNeeded(ValueError):
    """Constants of a family can only be had on a stated region."""


@dataclass(frozen=True, eq=False, init=False)
class Ball:
    """The ball {||w - center|| <= radius}.

    Parameters
    ----------
    center : array_like of shape (d,)
    radius : float
        In the units of w; positive.

    Examples
    --------
    >>> import maml_ode as mo
    >>> ball = mo.theory.Ball([0.0, 0.0], radius=1.0)
    >>> ball.contains([0.6, 0.6]), ball.contains([0.9, 0.9])
    (True, False)
    """

    center: Array
    radius: float

    def __init__(self, center: npt.ArrayLike, radius: float) -> None:
        given = real_array("center", center)
        point = as_array("center", given.reshape(1) if given.ndim == 0 else given, (None,))
        object.__setattr__(self, "center", freeze(point))
        object.__setattr__(self, "radius", check_real("radius", radius, minimum=0.0, strict=True))

    def contains(self, w: npt.ArrayLike) -> bool:
        """Whether ``w`` of shape (d,) lies in the ball."""
        return math.dist(as_point("w", w, self.center.size), self.center) <= self.radius


@dataclass(frozen=True)
class Interval:
    """The interval [lower, upper] of the real line, for families with d = 1.

    Parameters
    ----------
    lower, upper : float
        lower < upper.

    Examples
    --------
    >>> import maml_ode as mo
    >>> mo.theory.Interval(-1.0, 2.0).contains([1.5])
    True
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", check_real("lower", self.lower))
        object.__setattr__(self, "upper", check_real("upper", self.upper))
        if not self.lower < self.upper:
            raise ValueError(
                f"lower must be less than upper, but they are {self.lower:g} and {self.upper:g}."
            )

    def contains(self, w: npt.ArrayLike) -> bool:
        """Whether the one-dimensional point ``w`` lies in the interval."""
        return bool(self.lower <= float(as_point("w", w, 1)[0]) <= self.upper)


@dataclass(frozen=True)
class Sublevel:
    """The sublevel set V(c) = {f(w) - min f <= c} of the expected loss.

    Parameters
    ----------
    level : float
        c, in the units of f; positive.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> F = mo.MAMLLoss(tasks, alpha=0.1)
    >>> mo.theory.step_size_limit(F, mo.theory.Sublevel(1.0)).status.value
    'exact'
    """

    level: float

    def __post_init__(self) -> None:
        level = check_real("level", self.level, minimum=0.0, strict=True)
        object.__setattr__(self, "level", level)


Region = Ball | Interval | Sublevel


def enclosing_ball(region: Region, minimizer: Array | None, mu_f: float) -> Ball:
    """Return a ball that contains ``region``.

    V(c) lies in the ball of radius sqrt(2 c/mu_f) about the minimiser of f, by strong convexity.

    Raises
    ------
    ValueError
        For a sublevel set when f has no positive mu_f or no known minimiser.
    """
    if isinstance(region, Ball):
        return region
    if isinstance(region, Interval):
        half = 0.5 * (region.upper - region.lower)
        return Ball([0.5 * (region.lower + region.upper)], half)
    if minimizer is None or not mu_f > 0:
        raise ValueError(
            "region must be a Ball or an Interval here: a Sublevel set needs a strongly convex f "
            "whose minimiser is known."
        )
    return Ball(minimizer, math.sqrt(2.0 * region.level / mu_f))
