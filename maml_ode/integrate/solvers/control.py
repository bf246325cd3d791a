"""Step-size control: the first step, and the next one from the errors of the last ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maml_ode._validation import Array
from maml_ode.integrate.norms import vector_norm

__all__ = ["StepController", "first_step_size"]

# So that t + h never overflows where the horizon is infinite and the error vanishes.
LARGEST_STEP = 1e100


@dataclass
class StepController:
    """Factors between successive step sizes.

    With the error err of a step, relative to its tolerance, and the one before, err_old, an accepted step is
    followed by one that is

        safety err^(-integral) err_old^(proportional)

    times as long: the standard controller has integral = 1/order and proportional = 0; a positive proportional
    part (PI control) damps the oscillations of step sizes bounded by stability. With ``predictive``, the factor
    is also at most safety (h/h_old) err_old^(1/order) err^(-2/order), which follows errors that change
    geometrically (Gustafsson 1994, DOI 10.1145/198429.198437; Hairer and Wanner II, equation IV.8.25).

    Parameters
    ----------
    order : int
        The power of h that the error estimate shrinks with.
    integral, proportional : float
        Exponents; ``integral`` is 1/order by default.
    safety, smallest, largest : float
        The safety factor and the bounds of the factor.
    predictive : bool
        Whether to take the second factor into account.
    """

    order: int
    integral: float = math.nan
    proportional: float = 0.0
    safety: float = 0.9
    smallest: float = 0.2
    largest: float = 10.0
    predictive: bool = False

    def __post_init__(self) -> None:
        if math.isnan(self.integral):
            self.integral = 1.0 / self.order
        self._error = 1e-4 if self.proportional else 0.0
        self._h = 0.0

    def after_acceptance(self, error: float, h: float, rejected_before: bool) -> float:
        """Return the factor after an accepted step of size ``h`` > 0."""
        factor: float = self.largest
        if error > 0.0:
            factor = self.safety * error**-self.integral
            if self.proportional:
                factor *= self._error**self.proportional
            if self.predictive and self._h > 0 and self._error > 0:
                ratio = self._error / error**2
                factor = min(factor, self.safety * (h / self._h) * ratio ** (1.0 / self.order))
            factor = min(self.largest, max(self.smallest, factor))
        self._error, self._h = max(error, 1e-4 if self.proportional else 1e-2), h
        return min(1.0, factor) if rejected_before else factor

    def after_rejection(self, error: float) -> float:
        """Return the factor after a rejected trial, whose error is infinite if it was not finite."""
        if not math.isfinite(error):
            return self.smallest
        return float(max(self.smallest, self.safety * error ** (-1.0 / self.order)))


def first_step_size(
    evaluate: Callable[[float, Array], Array],
    t0: float,
    y0: Array,
    f0: Array,
    t_bound: float,
    direction: float,
    max_step: float,
    order: int,
    rtol: Array,
    atol: Array,
) -> float:
    """Return a first step size from one Euler step (Hairer, Norsett and Wanner I, section II.4).

    Costs one evaluation, and one more for every shortening that a field needs which is not finite there.
    """
    length = abs(t_bound - t0)
    if y0.size == 0 or length == 0.0:
        return 0.0
    scale = atol + np.abs(y0) * rtol
    scale[scale == 0.0] = np.finfo(float).tiny
    with np.errstate(over="ignore", invalid="ignore"):
        d0, d1 = _rms(y0 / scale), _rms(f0 / scale)
        h0 = 1e-6 if d0 < 1e-5 or d1 < 1e-5 or not np.isfinite(d0 / d1) else 0.01 * d0 / d1
        h0 = min(h0 or np.finfo(float).tiny, length)
        while True:
            f1 = evaluate(t0 + h0 * direction, y0 + h0 * direction * f0)
            if np.isfinite(f1).all() or t0 + 0.1 * h0 * direction == t0:
                break
            h0 *= 0.1
        d2 = _rms((f1 - f0) / scale) / h0
    largest = max(d1, d2)
    if not np.isfinite(largest):
        return h0
    h1 = max(1e-6, h0 * 1e-3) if largest <= 1e-15 else (0.01 / largest) ** (1.0 / (order + 1))
    return float(min(100 * h0, h1, length, max_step))


def _rms(x: Array) -> float:
    return vector_norm(x) / math.sqrt(x.size)
