"""Quadratic tasks: what is exactly true, for any alpha > 0.

F(w) = (w - w_F)'G (w - w_F)/2 + const with G = E H_i (I - alpha H_i)^(2k), so the flow is w(t) =
w_F + exp(-G t)(w0 - w_F), its rate lambda_min(G), and gradient descent is stable iff step_size <
2/lambda_max(G). G is positive definite unless a common v has H_i v = v/alpha or H_i v = 0 in every
task.

Eigenvalues come with what rounding may have done to them; a number is called exact where its relative error is
below 1e-10, and is on the safe side otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array, as_point
from maml_ode.objectives.quadratic_form import QuadraticForm
from maml_ode.objectives.spectrum import EPS, Spectrum, solver_error
from maml_ode.theory.bounds.logarithms import log_ratio, whole_steps
from maml_ode.theory.quantities import Quantity, Status, safe_side

__all__ = ["QuadraticFacts"]


@dataclass(frozen=True, eq=False)
class QuadraticFacts:
    """Statements on a gradient flow of w'Gw/2 - c'w + k, exact or on the safe side.

    Parameters
    ----------
    form : QuadraticForm
        ``objective.quadratic_form`` of a quadratic family.
    """

    form: QuadraticForm

    @property
    def _spectrum(self) -> Spectrum:
        return self.form.spectrum

    @property
    def rate(self) -> Quantity:
        """lambda_min(G), **tight**, or a **lower** bound of it where rounding could have raised it.

        ||grad F|| and ||w - w_F|| decay like exp(-rate t), F - F* like exp(-2 rate t).
        """
        own = self._spectrum
        if self.definite is None:
            below = float(own.lower_bounds().min())
            return Quantity(below, Status.BOUND, "singular to rounding")
        return safe_side(own.smallest, float(own.error[0]), above=False)

    @property
    def smoothness(self) -> Quantity:
        """lambda_max(G), **tight**, or an **upper** bound of it."""
        return safe_side(self._spectrum.largest, float(self._spectrum.error[-1]), above=True)

    @property
    def status(self) -> Status:
        """Exact if both ends of the spectrum are."""
        ends = (self.rate.status, self.smoothness.status)
        return Status.EXACT if ends == (Status.EXACT, Status.EXACT) else Status.BOUND

    @cached_property
    def definite(self) -> bool | None:
        """Whether G is positive definite: one critical point, the global minimiser. None: rounding decides."""
        if self._spectrum.is_positive_definite:
            return True
        return False if bool((self._spectrum.upper_bounds() < 0.0).any()) else None

    @property
    def unique(self) -> bool:
        """Whether G is positive definite beyond rounding."""
        return self.definite is True

    @property
    def singular(self) -> bool:
        """Whether rounding decides, so that nothing is claimed."""
        return self.definite is None

    @cached_property
    def minimizer(self) -> Array:
        """w_F = G^-1 c, shape (d,)."""
        return np.asarray(np.linalg.solve(self.form.G, self.form.c))

    @property
    def step_size_limit(self) -> Quantity:
        """2/lambda_max(G), **tight**, or a **lower** bound; ``inf`` if G has no positive eigenvalue."""
        top = self.smoothness
        return Quantity(2.0 / top if top > 0 else math.inf, top.status, top.note)

    def gradient_norm(self, w: npt.ArrayLike) -> float:
        """Return an **upper** bound of ||grad F(w)||: its computed value and what that may have lost."""
        norm, bar = self.form.field.norm(as_point("w", w, self.form.c.size))
        return norm + bar

    def time_bound(self, w: npt.ArrayLike, tol: float) -> float:
        """Return log+(||grad F(w)||/tol)/lambda_min(G), an **upper** bound of the time to ||grad F|| <= tol.

        Attained where grad F(w) is an eigenvector of lambda_min.
        """
        return self.decay_time(self.gradient_norm(w), tol)

    def decay_time(self, norm: float, tol: float) -> float:
        """Return log+(norm/tol)/lambda_min(G), an **upper** bound of the time that takes ||grad F|| there."""
        if not self.unique:
            return math.inf
        total = log_ratio(norm, tol)
        if total > 0:  # the rounding of two logarithms that may be far larger than their difference
            total += 4.0 * EPS * (abs(math.log(norm)) + abs(math.log(tol)))
        return total / float(self._spectrum.lower_bounds().min()) * (1.0 + 4.0 * EPS)

    def stationarity_time(self, w: npt.ArrayLike, tol: float) -> Quantity:
        """Return the time at which the flow from ``w`` has ||grad F|| = ``tol``; ``inf`` if never.

        **Tight**; ``inf`` as a bound where it is beyond the range of floats. Where rounding may have moved it by
        more than 1e-10 relative its status is a bound: then the bound is ``time_bound``, and this is the time as
        computed.
        """
        point = as_point("w", w, self.form.c.size)
        if self.gradient_norm(point) <= tol:
            return Quantity(0.0)
        if not self.unique:
            return Quantity(math.inf)
        parts = np.abs(self.form.field.amplitudes(point))
        values = self._spectrum.values
        moving = parts > 0
        if not moving.any():
            return Quantity(0.0, Status.BOUND)
        logs, values = np.log(parts[moving]), values[moving]

        def excess(t: float) -> float:  # log(||exp(-G t) grad F||/tol), without underflow
            powers = logs - values * t
            top = float(powers.max())
            return top + 0.5 * math.log(float(np.exp(2.0 * (powers - top)).sum())) - math.log(tol)

        if excess(0.0) <= 0:
            return Quantity(0.0, Status.BOUND)
        from scipy.optimize import brentq

        end = excess(0.0) / float(values[0])
        if not math.isfinite(end * float(values[-1])):
            return Quantity(math.inf, Status.BOUND, "beyond the range of floats")
        while excess(end) > 0:
            end *= 1.0 + 1e-9
        time = float(brentq(excess, 0.0, end, xtol=1e-300, rtol=4.0 * EPS))
        error = self._gradient_error(time, point) / tol / float(self.rate)
        return Quantity(time, safe_side(time, error, above=True).status)

    def _gradient_error(self, t: float, w: Array) -> float:
        """Return an **upper** bound of the error of grad F(w(t)) as computed.

        exp(-(G + E) t) g and exp(-G t) g differ by at most t ||E|| exp(-lambda_min t) ||g||, Duhamel.
        """
        norm, bar = self.form.field.norm(w)
        own = self._spectrum
        E = float(own.error.max()) + solver_error(own.dim, own.radius)
        return math.exp(-float(own.lower_bounds().min()) * t) * (
            (t * E + 8.0 * EPS) * (norm + bar) + bar
        )

    def state(self, t: float, w: npt.ArrayLike) -> Array:
        """Return w(t) of the flow from ``w``, for positive definite G."""
        point = as_point("w", w, self.form.c.size)
        values, vectors = self._spectrum.values, self._spectrum.vectors
        centre = self.minimizer
        return np.asarray(centre + vectors @ (np.exp(-values * t) * (vectors.T @ (point - centre))))

    def state_error(self, t: float, w: Array) -> float:
        """Return an **upper** bound of ||w(t) - state(t, w)||, twice where t is a computed switch."""
        centre_bar = sum(self.form.field.norm(self.minimizer))
        return (self._gradient_error(t, w) + centre_bar) / self.rate

    def iterations(self, w: npt.ArrayLike, tol: float, step_size: float) -> float:
        """Return n with ||grad F|| <= tol after n steps of gradient descent, an **upper** bound.

        A step multiplies grad F by I - step_size G, of norm max |1 - step_size lambda|. ``inf`` if that is not
        below 1. Attained up to rounding up where grad F(w) is an eigenvector of the slowest eigenvalue.
        """
        low = step_size * float(self._spectrum.lower_bounds().min())
        high = step_size * float(self._spectrum.upper_bounds().max())
        gain = min(low, 2.0 - high) - 2.0 * EPS
        if not self.unique or not gain > 0:
            return math.inf
        total = log_ratio(self.gradient_norm(w), tol)
        # with one common eigenvalue a step is exact but for the rounding of step_size
        per_step = -math.log1p(-gain) if gain < 0.5 else -math.log(max(1.0 - gain, 4.0 * EPS))
        return whole_steps(total, per_step)
