"""Closed-form solution of affine flows: one symmetric eigendecomposition per phase.

For w' = -(K w - k) with K = Q diag(lambda) Q' and a = Q'(k - K w(0)),

    w(t) = w(0) + Q phi(t) a,   phi_j = (1 - exp(-lambda_j t))/lambda_j  (t where lambda_j = 0),

and the field's norm is sqrt(sum_j a_j^2 exp(-2 lambda_j t)), whose square is log-convex in t, so that the
time at which it falls to a threshold is one scalar root.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from maml_ode._validation import Array
from maml_ode.flows import Flow, GradientNormBelow, SwitchRule
from maml_ode.quadratic_form import AffineField

__all__ = ["ExactPhase", "why_not_exact"]

POINTS = 100


@dataclass(frozen=True, eq=False)
class ExactPhase:
    """The solution of one affine phase that begins at time ``start`` in ``state``."""

    start: float
    state: Array
    eigenvalues: Array
    eigenvectors: Array
    amplitudes: Array

    @classmethod
    def begin(cls, field: AffineField, start: float, state: Array) -> ExactPhase:
        """Decompose K once."""
        eigenvalues, eigenvectors = np.linalg.eigh(field.K)
        amplitudes = eigenvectors.T @ (field.k - field.K @ state)
        return cls(start, state.copy(), eigenvalues, eigenvectors, amplitudes)

    def states(self, times: Array) -> Array:
        """Return w at the given times, shape (d, n)."""
        tau = times - self.start
        rates = self.eigenvalues[:, None]
        safe = np.where(rates == 0.0, 1.0, rates)
        phi = np.where(rates == 0.0, tau, -np.expm1(-rates * tau) / safe)
        return np.asarray(
            self.state[:, None] + self.eigenvectors @ (phi * self.amplitudes[:, None])
        )

    def log_norm(self, tau: float) -> tuple[float, float]:
        """Return log ||field|| after a time ``tau`` and its derivative."""
        size = np.abs(self.amplitudes)
        alive = size > 0
        if not alive.any():
            return -math.inf, 0.0
        rates = self.eigenvalues[alive]
        exponents = 2 * np.log(size[alive]) - 2 * rates * tau
        top = float(exponents.max())
        terms = np.exp(exponents - top)
        total = float(terms.sum())
        return 0.5 * (top + math.log(total)), -float(rates @ terms) / total

    def time_to_norm(self, threshold: float) -> float:
        """Return the first time after ``start`` at which ||field|| <= threshold; inf if there is none."""
        if threshold < 0:
            return math.inf
        target = math.log(threshold) if threshold > 0 else -math.inf
        if self.log_norm(0.0)[0] <= target:
            return 0.0
        if target == -math.inf:
            return math.inf
        size = np.abs(self.amplitudes)
        persistent = math.sqrt(float(np.sum(size[self.eigenvalues <= 0] ** 2)))
        if persistent > threshold:
            return math.inf
        high = 1.0 / float(np.abs(self.eigenvalues).max())
        while self.log_norm(high)[0] > target:
            if high > 1e300 or self.log_norm(0.0)[1] >= 0:
                return math.inf
            if self.log_norm(high)[1] >= 0:
                # The logarithm of the norm is convex: before it rises it may have been low enough.
                high = float(brentq(lambda tau: self.log_norm(tau)[1], 0.0, high))
                if self.log_norm(high)[0] > target:
                    return math.inf
                break
            high *= 2.0
        low = 0.5 * high if self.log_norm(0.5 * high)[0] > target else 0.0
        root = float(
            brentq(
                lambda tau: self.log_norm(tau)[0] - target,
                low,
                high,
                xtol=1e-300,
                rtol=4 * np.finfo(float).eps,
            )
        )
        # Just past the root rather than just before it.
        for _ in range(8):
            value, slope = self.log_norm(root)
            if value <= target or slope >= 0:
                break
            root = max(root + (target - value) / slope, np.nextafter(root, math.inf))
        return root

    def sample_times(self, duration: float) -> Array:
        """Return times from the start to the end that show both the transient and the tail."""
        rates = np.abs(self.eigenvalues)
        fastest = float(rates.max())
        linear = np.linspace(0.0, duration, POINTS + 1)
        if fastest * duration > 1:
            first = 0.02 / fastest
            linear = np.union1d(linear, np.geomspace(first, duration, POINTS))
        linear[-1] = duration
        return self.start + linear


def why_not_exact(flow: Flow) -> str | None:
    """Return why a flow has no closed form here, or None if it has one."""
    if flow.rule is not SwitchRule.ONE_WAY:
        return f"the rule is {str(flow.rule)!r}, not 'one_way'"
    if any(phase.then is not None for phase in flow.phases):
        return "its phases do not follow each other in order"
    for number, phase in enumerate(flow.phases):
        if phase.field.affine is None:
            return f"the field of phase {number} ({phase.field.label}) is not affine"
        if phase.until is None:
            continue
        objective = phase.field.descends
        own = isinstance(phase.until, GradientNormBelow) and phase.until.objective is objective
        if not own:
            return f"phase {number} ends by a rule other than the norm of its own gradient"
    return None
