"""Affine fields w' = -(K w - k), and what their spectrum says with which certainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np

from maml_ode._validation import Array
from maml_ode.objectives.dense_eigen import DenseEigen
from maml_ode.objectives.least_squares import Residual
from maml_ode.objectives.spectrum import EPS, Spectrum

__all__ = ["AffineField", "EigenField", "modified_affine_field", "of_residual"]


class EigenField(Protocol):
    """An affine field in the eigenbasis of its matrix."""

    @property
    def spectrum(self) -> Spectrum:
        """Eigenvalues and eigenvectors of the matrix with their error bars."""
        ...

    def amplitudes(self, w: Array) -> Array:
        """Return the components of the field at ``w`` along the eigenvectors, shape (d,)."""
        ...

    def norm(self, w: Array, made_of: Array) -> tuple[float, float]:
        """Return the norm of the field evaluated at ``w`` and a bound on its rounding."""
        ...


@dataclass(frozen=True, eq=False)
class AffineField:
    """The vector field w' = -(K w - k) with symmetric K.

    Attributes
    ----------
    K, k : ndarray of shape (d, d), ndarray of shape (d,)
    K_error, k_error : float
        Bounds on the 2-norms of what rounding did to K and k.
    source : callable, optional
        Returns the field in its eigenbasis from something better than K, or None; asked when the spectrum is
        first needed.
    """

    K: Array
    k: Array
    K_error: float = 0.0
    k_error: float = 0.0
    source: Callable[[], EigenField | None] | None = None

    def __call__(self, w: Array) -> Array:
        """Return -(K w - k)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.k - self.K @ w)

    @cached_property
    def eigen(self) -> EigenField:
        """The field in the eigenbasis of K."""
        better = None if self.source is None else self.source()
        if better is not None:
            return better
        return DenseEigen(self.K, self.k, self.K_error, self.k_error)

    @property
    def spectrum(self) -> Spectrum:
        """Eigenvalues and eigenvectors of K with their error bars."""
        return self.eigen.spectrum

    @cached_property
    def largest_eigenvalue(self) -> float:
        """The largest eigenvalue of K, the stiffest rate of the field."""
        return self.spectrum.largest

    @property
    def spectral_radius(self) -> float:
        """The largest absolute eigenvalue of K."""
        return self.spectrum.radius

    def amplitudes(self, w: Array) -> Array:
        """Return the components of the field at ``w`` along the eigenvectors, shape (d,).

        Along directions that do not decay, what rounding alone can explain is exactly 0.
        """
        return self.eigen.amplitudes(w)

    def norm(self, w: Array, made_of: Array | None = None) -> tuple[float, float]:
        """Return the norm of the field, evaluated at ``w`` and not by its closed form, and its error bar.

        Parameters
        ----------
        w : ndarray of shape (d,)
        made_of : ndarray of shape (d,), optional
            The sizes of what each coordinate of ``w`` was added up from, relative to which it is rounded;
            the coordinate's own by default.
        """
        return self.eigen.norm(w, np.abs(w) if made_of is None else made_of)

    def equilibrium(self, w: Array) -> Array:
        """Return the rest point that differs from ``w`` in no direction of eigenvalue 0.

        There is none if an amplitude in such a direction is not 0.
        """
        values = self.spectrum.values
        moving = values != 0.0
        steps = self.amplitudes(w)[moving] / values[moving]
        return np.asarray(w + self.spectrum.vectors[:, moving] @ steps)


def of_residual(build: Callable[[], Residual | None]) -> EigenField | None:
    """Return the eigenbasis of a least-squares field by its data; None where its numbers overflow."""
    residual = build()
    if residual is None:
        return None
    from maml_ode.objectives.graded import decompose

    return decompose(residual)


def modified_affine_field(gradient: AffineField, step_size: float) -> AffineField:
    """Return -(I + h/2 G)(G w - c), what Euler with step h follows, in the eigenbasis of G.

    Parameters
    ----------
    gradient : AffineField
        -(G w - c).
    step_size : float
        h.
    """
    factor = np.eye(gradient.k.size) + 0.5 * step_size * gradient.K
    K = factor @ gradient.K
    source = partial(_ModifiedEigen, gradient, step_size)
    return AffineField(0.5 * (K + K.T), factor @ gradient.k, source=source)


@dataclass(frozen=True, eq=False)
class _ModifiedEigen:
    """Eigenvalues lambda (1 + h lambda/2) on the eigenvectors of G."""

    gradient: AffineField
    step_size: float

    @property
    def _factor(self) -> Array:
        return np.asarray(1.0 + 0.5 * self.step_size * self.gradient.spectrum.values)

    @cached_property
    def spectrum(self) -> Spectrum:
        own = self.gradient.spectrum
        slope = 1.0 + self.step_size * (np.abs(own.values) + 0.5 * own.error)
        values = own.values * self._factor
        rounding = 2.0 * EPS * np.abs(own.values) * (1.0 + 0.5 * self.step_size * own.radius)
        return Spectrum.with_bars(values, own.vectors, own.error * slope + rounding)

    def amplitudes(self, w: Array) -> Array:
        order = np.argsort(self.gradient.spectrum.values * self._factor, kind="stable")
        return np.asarray((self._factor * self.gradient.amplitudes(w))[order])

    def norm(self, w: Array, made_of: Array) -> tuple[float, float]:
        norm, bar = self.gradient.norm(w, made_of)
        own = self.gradient.spectrum
        parts = own.vectors.T @ (self.gradient.k - self.gradient.K @ w)
        top = float(np.abs(self._factor).max())
        return float(np.linalg.norm(self._factor * parts)), top * (bar + EPS * norm)
