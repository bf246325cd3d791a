"""The times that a run is asked for."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_array, check_real, precision_of, real_array

__all__ = ["check_horizon", "check_t_eval"]

ULPS = 8


def check_horizon(t_max: float, t_start: float) -> float:
    """Return a horizon after ``t_start``, which may be infinite."""
    if t_max is math.inf:
        return math.inf
    if isinstance(t_max, (int, float, np.integer, np.floating)) and t_max == math.inf:
        return math.inf
    return check_real("t_max", t_max, minimum=t_start, strict=True)


def check_t_eval(t_eval: npt.ArrayLike | None, t_start: float, t_max: float) -> Array | None:
    """Return ``t_eval`` as increasing float64 times within [t_start, t_max].

    A first or last time that misses its end by a few units in the last place of the given type, as those of
    ``numpy.arange`` or of a float32 grid do, is that end.

    Raises
    ------
    ValueError
        For times that are not increasing, not finite, or outside.
    """
    if t_eval is None:
        return None
    given = real_array("t_eval", t_eval)
    times = as_array("t_eval", given)
    if times.ndim != 1 or times.size == 0:
        raise ValueError(f"t_eval must be a non-empty 1-d array, but it has shape {times.shape}.")
    slack = ULPS * precision_of(given) * max(abs(times[0]), abs(times[-1]))
    if t_start - slack <= times[0] < t_start:
        times[0] = t_start
    if t_max < times[-1] <= t_max + slack:
        times[-1] = t_max
    if (np.diff(times) <= 0).any():
        raise ValueError("t_eval must be strictly increasing; sort it with np.unique(t_eval).")
    if times[0] < t_start or times[-1] > t_max:
        raise ValueError(
            f"t_eval must lie within [{t_start:.17g}, t_max] = [{t_start:.17g}, {t_max:.17g}], but it goes from "
            f"{times[0]:.17g} to {times[-1]:.17g}; raise t_max or leave times out."
        )
    return times
