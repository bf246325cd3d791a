"""Closed-form solution of affine flows: one spectral decomposition per phase.

For w' = -(K w - k) with K = Q diag(lambda) Q' and a = Q'(k - K w(0)),

    w(t) = w(0) + Q phi(t) a,   phi_j = (1 - exp(-lambda_j t))/lambda_j  (t where lambda_j = 0),

and the field's norm is sqrt(sum_j a_j^2 exp(-2 lambda_j t)), whose square is log-convex in t, so that the
time at which it falls to a threshold is one scalar root. Eigenvalues and amplitudes that rounding cannot tell
from 0 are 0 (``maml_ode.objectives.spectrum``): over a long time they would be a motion.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows import Flow, GradientNormBelow, SwitchRule
from maml_ode.flows.second_order_fields import MomentumField
from maml_ode.integrate.roots import brent
from maml_ode.objectives.affine_field import AffineField

__all__ = ["ExactPhase", "last_finite_time", "why_not_exact"]

POINTS = 100
SHARES = np.linspace(0.0, 1.0, POINTS + 1)
LOGARITHMIC = np.linspace(0.0, 1.0, POINTS)
# On a logarithm that is nearly a polygon the tangents turn once at every corner.
MOST_TANGENTS = 60
NO_FURTHER = 2.0**-50
# The product of two numbers above this is not subnormal.
SMALL = 1e-150
EPS = float(np.finfo(np.float64).eps)
# Beyond this exponent 1 adds nothing to exp.
ONE_IS_LOST = 40.0
# Where rounding of the state keeps its norm above tol, later times are tried: those at which the formula is twice
# the excess below it, then so many times more, and at last these parts of tol.
LEAST_EXCESS, AIMED_BELOW, GROWTH = 1e-15, 2.0, 100.0
LAST_SHARES = (1e-2, 1e-4, 1e-8)


@dataclass(frozen=True, eq=False)
class ExactPhase:
    """The solution of one affine phase that begins at time ``start`` in ``state``.

    Attributes
    ----------
    field : AffineField
    start : float
    state : ndarray of shape (d,)
    eigenvalues, amplitudes : ndarray of shape (d,)
    eigenvectors : ndarray of shape (d, d)
    """

    field: AffineField
    start: float
    state: Array
    eigenvalues: Array
    eigenvectors: Array
    amplitudes: Array

    @classmethod
    def begin(cls, field: AffineField, start: float, state: Array) -> ExactPhase:
        """Decompose K once; phases of the same field share the decomposition."""
        spectrum, amplitudes = field.spectrum, field.amplitudes(state)
        return cls(field, start, state.copy(), spectrum.values, spectrum.vectors, amplitudes)

    def states(self, times: Array) -> Array:
        """Return w at the given times, shape (d, n); not finite where it exceeds the largest float."""
        return self._moved(self._moves(times))

    def _moved(self, moves: Array) -> Array:
        """Return where w has come to by ``moves`` along the moving eigenvectors."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.state[:, None] + self._moving_vectors @ moves)

    def norm(self, t: float) -> tuple[float, float]:
        """Return ||field|| evaluated afresh at w(t), and what rounding, of w(t) too, adds to it at most."""
        moves = self._moves(np.array([t]))
        made_of = np.abs(self.state) + np.abs(self._moving_vectors) @ np.abs(moves[:, 0])
        return self.field.norm(self._moved(moves)[:, 0], made_of)

    @cached_property
    def _moving_vectors(self) -> Array:
        return np.asarray(self.eigenvectors[:, self.amplitudes != 0.0])

    def _moves(self, times: Array) -> Array:
        """Return how far w has moved along each of the moving eigenvectors."""
        rates, parts = self._moving
        return _moves(rates, parts, times - self.start)

    @cached_property
    def _moving(self) -> tuple[Array, Array]:
        """The eigenvalues and amplitudes that take part in the motion, as columns."""
        moving = self.amplitudes != 0.0
        return self.eigenvalues[moving, None], self.amplitudes[moving, None]

    def last_finite_time(self, end: float) -> float:
        """Return the last time up to ``end`` at which every coordinate of w(t) is a finite float."""
        return last_finite_time(self.states, self.start, end)

    @cached_property
    def _fastest(self) -> float:
        """The largest |lambda| that takes part in the motion: the unit of rates; 1 if nothing decays."""
        rates = np.abs(self.eigenvalues[self.amplitudes != 0.0])
        return float(rates.max(initial=0.0)) or 1.0

    def log_norm(self, tau: float) -> tuple[float, float]:
        """Return log ||field|| after a time ``tau`` and its derivative."""
        with np.errstate(under="ignore"):
            value, slope = self._log_norm(tau * self._fastest)
        return value, slope * self._fastest

    @cached_property
    def _decay(self) -> tuple[Array, Array]:
        """2 log |a_j| and 2 lambda_j/fastest of the parts that are not 0."""
        size = np.abs(self.amplitudes)
        alive = size > 0
        return 2 * np.log(size[alive]), 2 * (self.eigenvalues[alive] / self._fastest)

    def _log_norm(self, theta: float) -> tuple[float, float]:
        """Return log ||field|| after the time theta/fastest and its derivative with respect to theta."""
        logarithms, rates = self._decay
        if logarithms.size == 0:
            return -math.inf, 0.0
        exponents = logarithms - rates * theta
        top = float(np.maximum.reduce(exponents))
        terms = np.exp(exponents - top)
        total = float(np.add.reduce(terms))
        return 0.5 * (top + math.log(total)), -0.5 * float(rates.dot(terms)) / total

    def time_to_norm(self, threshold: float) -> float:
        """Return the first time after ``start`` at which ||field|| <= threshold; inf if there is none."""
        with np.errstate(under="ignore"):
            return self._time_to_norm(threshold)

    def _time_to_norm(self, threshold: float) -> float:
        if threshold < 0:
            return math.inf
        target = math.log(threshold) if threshold > 0 else -math.inf
        value, slope = self._log_norm(0.0)
        if value <= target:
            return 0.0
        if target == -math.inf or slope >= 0:
            return math.inf
        lasting = np.abs(self.amplitudes[self.eigenvalues <= 0])
        if lasting.size and math.hypot(*lasting) > threshold:
            return math.inf
        theta = self._by_newton(target, value, slope)
        tau = (self._by_brackets(target) if theta is None else theta) / self._fastest
        if math.isinf(tau):
            return math.inf
        # Just past the root rather than just before it.
        for _ in range(8):
            value, slope = self.log_norm(tau)
            if value <= target or slope >= 0:
                break
            tau = max(tau + (target - value) / slope, math.nextafter(tau, math.inf))
        return tau

    def _by_newton(self, target: float, value: float, slope: float) -> float | None:
        """Return the time at which log ||field|| is ``target``; None where tangents do not come to it.

        The logarithm is convex: as long as it falls, its tangents meet the target no later than itself.
        """
        theta = 0.0
        for _ in range(MOST_TANGENTS):
            following = theta + (target - value) / slope
            if following - theta <= NO_FURTHER * theta:
                return following
            theta = following
            value, slope = self._log_norm(theta)
            if value <= target:
                return theta
            if slope >= 0.0 or not theta < 1e300:
                return None
        return None

    def _by_brackets(self, target: float) -> float:
        """Return the time at which log ||field|| first is ``target``; infinite if there is none."""
        low, high = 0.0, 1.0
        while self._log_norm(high)[0] > target:
            if self._log_norm(high)[1] >= 0:
                # The logarithm of the norm is convex: before it rises it may have been low enough.
                high = _root(lambda theta: self._log_norm(theta)[1], low, high)
                if self._log_norm(high)[0] > target:
                    return math.inf
                break
            low, high = high, 2.0 * high
            if high > 1e300:
                return math.inf
        return _root(lambda theta: self._log_norm(theta)[0] - target, low, high)

    def sample_times(self, duration: float) -> Array:
        """Return times from the start to the end that show both the transient and the tail."""
        times = SHARES * duration
        if self._fastest * duration > 1:
            first = 0.02 / self._fastest
            times = np.concatenate([times, first * (duration / first) ** LOGARITHMIC])
            times.sort()
        times[-1] = duration
        return self.start + times


def last_finite_time(states: Callable[[Array], Array], start: float, end: float) -> float:
    """Return the last time from ``start`` to ``end`` at which every coordinate of the states is a finite float."""

    def is_finite(t: float) -> bool:
        return bool(np.isfinite(states(np.array([t]))).all())

    if is_finite(end):
        return end
    low, high = start, end
    while (middle := low + 0.5 * (high - low)) not in (low, high):
        if is_finite(middle):
            low = middle
        else:
            high = middle
    return low


def _moves(rates: Array, parts: Array, tau: Array) -> Array:
    """Return a (1 - exp(-lambda tau))/lambda, shape (r, n), without an overflow that the result does not have.

    The three forms agree to rounding where they meet; what is a large number times a small one in one of them
    is not in the one that is taken.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        x = -rates * tau
        if np.all(rates > SMALL) and np.all(tau > SMALL):
            settled = parts / rates
            if np.isfinite(settled).all():  # everything decays, and nothing overflows
                return np.asarray(settled * -np.expm1(x))
        near = np.clip(x, -ONE_IS_LOST, ONE_IS_LOST)
        early = tau * parts * np.where(near == 0.0, 1.0, np.expm1(near) / near)
        late = parts / rates
        if np.any(x > ONE_IS_LOST):
            grown = np.sign(parts) * np.exp(np.log(np.abs(parts)) - np.log(np.abs(rates)) + x)
            late = np.where(x > 0.0, grown, late)
    return np.where(np.abs(x) <= ONE_IS_LOST, early, late)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root in [low, high] to all digits, however small it is."""
    return brent(function, low, high, xtol=1e-300, rtol=4 * EPS)[0]


def why_not_exact(flow: Flow) -> str | None:
    """Return why a flow has no closed form here, or None if it has one."""
    if flow.rule is not SwitchRule.ONE_WAY:
        return f"the rule is {str(flow.rule)!r}, not 'one_way'"
    for phase in flow.phases:
        if phase.then is not None:
            return "its phases do not follow each other in order"
    for number, phase in enumerate(flow.phases):
        if phase.field.is_summed:
            return (
                f"the field of phase {number} ({phase.field.label}) is summed up over the tasks every time, as "
                "aggregate=False asks, and its matrix is not formed"
            )
        field = phase.field
        # Momentum on a quadratic is linear too, in blocks of 2 x 2.
        descended = field
        if field.is_lifted and isinstance(field, MomentumField):
            descended = field.driving
        if descended.affine is None:
            return f"the field of phase {number} ({phase.field.label}) is not affine"
        if phase.until is None:
            continue
        objective = descended.descends
        own = isinstance(phase.until, GradientNormBelow) and phase.until.objective is objective
        if not own:
            return f"phase {number} ends by a rule other than the norm of its own gradient"
    return None
