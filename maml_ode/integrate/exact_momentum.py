"""Closed-form solution of momentum on a quadratic: a 2 x 2 block per eigenvalue.

For w'' + c w' + K w - k = 0 with K = Q diag(lambda) Q', a = Q'(k - K w(0)) and u = Q'v(0), every coordinate of
Q'(w - w(0)) is a P + u S, its velocity a S + u S' and its part of -grad F a C - lambda u S, where with s = c/2 and
D = lambda - s^2

    S = exp(-s t) sin(sqrt(D) t)/sqrt(D),   C = exp(-s t) cos(sqrt(D) t) + s S,   P = (1 - C)/lambda,

continued to D <= 0. The norms rise and fall, so that the first time at which one is at most a threshold is found
by steps in which it cannot fall to the threshold: no energy v^2/2 + (a part of grad F)^2/(2 lambda) of a
coordinate ever rises, nor does either exponential of an overdamped one, and they bound how fast norms may fall.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from maml_ode._norms import vector_norm
from maml_ode._validation import Array
from maml_ode.flows.second_order_fields import MomentumField
from maml_ode.integrate.exact import EPS, POINTS, last_finite_time
from maml_ode.objectives.affine_field import AffineField

__all__ = ["MomentumPhase"]

MOST_POINTS = 4000
POINTS_PER_RADIAN = 2.0
MOST_STEPS = 1_000_000
TERMS = 30
# Where exp(-s t) cos and s S are near 1, P is not the difference of 1 and C.
SMALL_CURVATURE, SMALL_FRICTION, NEAR_ONE = 0.25, 2.0, 0.1
# Closer to a threshold than this nothing can be told from rounding.
CLOSE = 16 * EPS


@dataclass(frozen=True, eq=False)
class MomentumPhase:
    """The solution of a momentum phase that begins at time ``start`` in ``state`` = (w, v).

    Attributes
    ----------
    field : AffineField
        -(K w - k).
    friction, start : float
    state : ndarray of shape (2 d,)
    horizon : float
        No time after it is looked for.
    """

    field: AffineField
    friction: float
    start: float
    state: Array
    horizon: float

    @classmethod
    def begin(
        cls, field: MomentumField, start: float, state: Array, horizon: float
    ) -> MomentumPhase:
        """Decompose K once; phases of the same objective share the decomposition."""
        affine = field.driving.affine
        if affine is None:
            raise RuntimeError("a quadratic lost its matrix; this is a defect of maml_ode.")
        return cls(affine, field.friction, start, state.copy(), horizon)

    @property
    def _dim(self) -> int:
        return self.state.size // 2

    @cached_property
    def _parts(self) -> tuple[Array, Array, Array]:
        """Eigenvalues, a and u, as columns."""
        spectrum = self.field.spectrum
        a = self.field.amplitudes(self.state[: self._dim])
        u = spectrum.vectors.T @ self.state[self._dim :]
        return spectrum.values[:, None], a[:, None], u[:, None]

    def states(self, times: Array) -> Array:
        """Return (w, v) at the given times, shape (2 d, n); not finite where it exceeds the largest float."""
        Q, d = self.field.spectrum.vectors, self._dim
        values, a, u = self._parts
        tau = times - self.start
        with np.errstate(all="ignore"):
            S, slope, C = fundamental(values, 0.5 * self.friction, tau)
            P = response(values, 0.5 * self.friction, tau, C)
            # A coordinate that does not move stays where it is, however large the others become.
            moved = np.where(a == 0, 0.0, a * P) + np.where(u == 0, 0.0, u * S)
            v = np.where(a == 0, 0.0, a * S) + np.where(u == 0, 0.0, u * slope)
            return np.concatenate([self.state[:d, None] + Q @ moved, Q @ v])

    def norm(self, t: float) -> tuple[float, float]:
        """Return the larger one of |grad F|, evaluated afresh at w(t), and |v|, and what rounding adds at most."""
        z, d = self.states(np.array([t]))[:, 0], self._dim
        moved = np.abs(z[:d] - self.state[:d])
        gradient, bar = self.field.norm(z[:d], np.abs(self.state[:d]) + moved)
        speed = vector_norm(z[d:])
        return max(gradient, speed), max(bar, 64 * EPS * speed)

    def last_finite_time(self, end: float) -> float:
        """Return the last time up to ``end`` at which every coordinate is a finite float."""
        return last_finite_time(self.states, self.start, end)

    def sample_times(self, duration: float) -> Array:
        """Return times from the start to the end that show the oscillations, as far as there are not too many."""
        values, a, u = self._parts
        moving = np.abs(values[(a != 0) | (u != 0)])
        rate = max(math.sqrt(moving.max(initial=0.0)), self.friction)
        count = int(min(max(POINTS, POINTS_PER_RADIAN * rate * duration), MOST_POINTS))
        linear = np.linspace(0.0, duration, count + 1)
        if rate * duration > 1:
            linear = np.union1d(linear, np.geomspace(0.02 / rate, duration, POINTS))
        linear[-1] = duration
        return self.start + linear

    def time_to_norm(self, threshold: float) -> float:
        """Return the first time after ``start`` at which both |grad F| and |v| are at most ``threshold``."""
        values, a, _ = self._parts
        if vector_norm(a[values == 0.0]) > threshold:
            return math.inf
        if self.friction == 0 and not self._may_rest(threshold):
            return math.inf

        def step(tau: float) -> float:
            gradient, speed, steepest, hardest = self._gaps(tau, threshold)
            return max(
                gradient / steepest if gradient > 0 else 0.0, speed / hardest if speed > 0 else 0.0
            )

        return self._march(step)

    def time_to_gradient_norm(self, threshold: float) -> float:
        """Return the first time after ``start`` at which |grad F| is at most ``threshold``."""
        values, a, _ = self._parts
        if vector_norm(a[values == 0.0]) > threshold:
            return math.inf

        def step(tau: float) -> float:
            gradient, _, steepest, _ = self._gaps(tau, threshold)
            return gradient / steepest if gradient > 0 else 0.0

        return self._march(step)

    def _may_rest(self, threshold: float) -> bool:
        """Whether the energies, which nothing takes away, can be such that both norms are at most ``threshold``.

        Of e_j = v_j^2 + f_j^2/lambda_j a share is speed, the rest force: a unit of it moved from force to speed
        takes lambda_j from |f|^2 and adds 1 to |v|^2, so that the largest lambda_j are moved first.
        """
        values, a, u = (part[:, 0] for part in self._parts)
        descending = np.flatnonzero(values > 0)[::-1]
        rates = values[descending]
        with np.errstate(all="ignore"):
            energies = (u[descending] / threshold) ** 2 + (a[descending] / threshold) ** 2 / rates
            forces = rates * energies
            excess = forces.sum() - 1.0 - CLOSE
            taken = np.clip(excess - (np.cumsum(forces) - forces), 0.0, forces)
            return bool((taken / rates).sum() <= 1.0 + CLOSE)

    def _march(self, step: Callable[[float], float]) -> float:
        """Return the first time at which a step is 0; infinite if it is not found before the horizon."""
        tau, longest = 0.0, self._longest_step
        for _ in range(MOST_STEPS):
            length = step(tau)
            if length == 0.0:
                return tau
            if not math.isfinite(length) or self.start + tau > self.horizon:
                return math.inf
            tau = max(tau + min(length, longest), math.nextafter(tau, math.inf))
        return math.inf

    @cached_property
    def _longest_step(self) -> float:
        """How far the bounds of growing coordinates reach."""
        least = float(self._parts[0].min())
        return math.inf if least >= 0 else 0.5 / math.sqrt(-least)

    @cached_property
    def _overdamped(self) -> tuple[Array, Array, Array, Array, npt.NDArray[np.bool_]]:
        """Both rates where lambda > 0 and D < 0, the sizes of the two exponentials that v is there, and where."""
        values, a, u = (part[:, 0] for part in self._parts)
        s = 0.5 * self.friction
        kappa = np.sqrt(np.maximum(s * s - values, 0.0))
        with np.errstate(all="ignore"):
            late = np.abs(0.5 * (a / kappa + u * (1 - s / kappa)))
            early = np.abs(0.5 * (u * (1 + s / kappa) - a / kappa))
        is_over = (kappa > 0) & (values > 0)
        late, early = np.where(is_over, late, np.inf), np.where(is_over, early, np.inf)
        return values / (s + kappa + (kappa + s == 0)), s + kappa, late, early, is_over

    def _gaps(self, tau: float, threshold: float) -> tuple[float, float, float, float]:
        """Return |grad F| and |v| above the threshold, and bounds on how fast each may fall from now on."""
        columns, c = self._parts, self.friction
        values, a, u = (part[:, 0] for part in columns)
        slow, fast, late, early, is_over = self._overdamped
        root = np.sqrt(np.abs(values))
        with np.errstate(all="ignore"):
            S, slope, C = (part[:, 0] for part in fundamental(columns[0], 0.5 * c, np.array([tau])))
            v, force = a * S + u * slope, a * C - values * u * S
            # sqrt(2 energy) of every coordinate, and of a growing one that at the end of the longest step.
            size = np.hypot(v, np.where(values == 0, 0.0, force / root))
            size = np.where(values < 0, math.exp(0.5) * size, size)
            falls = np.abs(values) * size
            slows = np.where(values == 0, np.abs(force - c * v), (root + c) * size)
            if is_over.any():
                later, earlier = late * np.exp(-slow * tau), early * np.exp(-fast * tau)
                falls = np.where(is_over, np.minimum(falls, values * (later + earlier)), falls)
                slows = np.where(is_over, np.minimum(slows, slow * later + fast * earlier), slows)
            gradient, speed = vector_norm(force), vector_norm(v)
            steepest, hardest = vector_norm(falls), vector_norm(slows)
        near = CLOSE * threshold
        return (
            gradient - threshold if not gradient - threshold <= near else 0.0,
            speed - threshold if not speed - threshold <= near else 0.0,
            steepest,
            hardest,
        )


def _rates(values: Array, s: float) -> tuple[Array, Array, Array, Array]:
    """Return D, sqrt|D|, and both rates where D < 0: the slow one is a quotient there, not a difference."""
    D = values - s * s
    kappa = np.sqrt(np.abs(D))
    fast = s + kappa
    return D, kappa, np.where(fast == 0, 0.0, values / np.where(fast == 0, 1.0, fast)), fast


def fundamental(values: Array, s: float, tau: Array) -> tuple[Array, Array, Array]:
    """Return S, S' and C of every eigenvalue, shape (d, n), also at and near critical damping."""
    D, kappa, slow, _ = _rates(values, s)
    x = kappa * tau
    decay = np.exp(-s * tau)
    slowly, fading = np.exp(-slow * tau), np.exp(-2 * x)
    over = D < 0
    cosine = np.where(over, 0.5 * slowly * (1 + fading), decay * np.cos(x))
    sine = np.where(over, -0.5 * slowly * np.expm1(-2 * x), decay * np.sin(x))
    series = 1 - np.sign(D) * x**2 / 6 * (1 - np.sign(D) * x**2 / 20)
    S = np.where(x < 1e-3, decay * tau * series, sine / np.where(kappa == 0, 1.0, kappa))
    return S, cosine - s * S, cosine + s * S


def response(values: Array, s: float, tau: Array, C: Array) -> Array:
    """Return P of every eigenvalue, shape (d, n), of which C is known."""
    D, kappa, slow, fast = _rates(values, s)
    P = (1 - C) / np.where(values == 0, 1.0, values)
    spread = np.where(kappa == 0, 1.0, 2 * kappa)
    apart = (_saturating(slow, tau) - _saturating(fast, tau)) / spread
    P = np.where((D < 0) & (2 * kappa * tau >= 1) & (np.abs(1 - C) < NEAR_ONE), apart, P)
    small = (np.abs(values) * tau**2 <= SMALL_CURVATURE) & (2 * s * tau <= SMALL_FRICTION)
    return np.asarray(np.where(small, _taylor(values, 2 * s, np.where(small, tau, 0.0)), P))


def _saturating(rate: Array, tau: Array) -> Array:
    """Return (1 - exp(-rate tau))/rate."""
    x = rate * tau
    return np.asarray(np.where(x == 0, tau, -np.expm1(-x) / np.where(rate == 0, 1.0, rate)))


def _taylor(values: Array, c: float, tau: Array) -> Array:
    """Return P from P'' = 1 - c P' - lambda P, P(0) = P'(0) = 0."""
    before, term = np.zeros_like(tau), 0.5 * tau**2
    total = term.copy()
    for k in range(2, TERMS):
        before, term = term, -(c * tau * term + values * tau**2 * before / k) / (k + 1)
        total = total + term
    return total
