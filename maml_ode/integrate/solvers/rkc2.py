"""RKC2: the stabilised explicit method of Sommeijer, Shampine and Verwer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import DenseOutput

from maml_ode._validation import Array, check_real
from maml_ode.integrate.solvers.adaptive import AdaptiveSolver, RightHandSide
from maml_ode.integrate.solvers.control import StepController
from maml_ode.integrate.solvers.dense import NestedDenseOutput, hermite_rows
from maml_ode.integrate.solvers.spectral_radius import ArnoldiEstimate

__all__ = ["RKC2", "coefficient_table", "most_stages"]

DAMPING = 2.0 / 13.0
STEPS_BETWEEN_ESTIMATES = 25


@lru_cache(maxsize=256)
def coefficient_table(stages: int) -> Array:
    """Return the recurrence coefficients of the method with ``stages`` stages, shape (stages + 1, 5)."""
    from maml_ode.integrate.solvers.kernels import chebyshev

    return np.asarray(chebyshev.coefficients(stages, DAMPING))


def most_stages(rtol: float) -> int:
    """Return how many stages a step may have: rounding errors grow with the square of their number."""
    return max(2, round(math.sqrt(rtol / (10 * np.finfo(float).eps))))


class RKC2(AdaptiveSolver):
    """Explicit Runge-Kutta-Chebyshev method of order 2 with as many stages as stability needs.

    The method with s stages is stable on [-0.653 (s^2 - 1), 0], so that the work per unit of time grows with the
    square root of the stiffness, and no linear system is solved. Made for Jacobians whose eigenvalues are real and
    negative, those of gradient flows of convex objectives. Its damping keeps |R(z)| < 1 inside that interval:
    on a convex quadratic objective every step lowers the objective, provided that the spectral radius is not
    underestimated. On any other the error control sees to it in practice, not by proof. The interpolant is cubic
    (Hermite).

    Parameters
    ----------
    fun : callable
        ``fun(t, y) -> (n,)``; see `AdaptiveSolver` for native right-hand sides.
    t0, t_bound : float
        Begin and end; the end may lie before the beginning.
    y0 : array_like of shape (n,)
        Real initial state.
    max_step, first_step : float
        Largest and first step size.
    rtol, atol : float or array_like of shape (n,)
        A step is accepted when the root mean square of its error over atol + rtol max(|y|, |y_new|) is below 1.
    vectorized : bool
        Whether ``fun`` also accepts ``y`` of shape (n, k).
    spectral_radius : float or callable, optional
        The spectral radius of the Jacobian, or a bound of it: a number, or ``spectral_radius(t, y)``. By default
        it is estimated by Arnoldi's process. What is not a number is asked for at the start, every 25 steps,
        after a rejected step and when a step shows a larger one.
    jvp : callable, optional
        ``jvp(t, y, v)``, the Jacobian at (t, y) times v, for the estimate; by default difference quotients of
        ``fun``, which count as evaluations.

    Attributes
    ----------
    njvp : int
        Jacobian-vector products made by ``jvp``.
    n_stages_last : int
        Stages of the last step.

    Raises
    ------
    ValueError
        For tolerances of wrong shape or negative, a step that is not positive, a first step beyond the
        interval, a y0 that is not finite, a ``fun`` of wrong shape, or a negative spectral radius.
    TypeError
        For a ``spectral_radius`` or ``jvp`` of another type.

    References
    ----------
    B. P. Sommeijer, L. F. Shampine and J. G. Verwer, "RKC: An explicit solver for parabolic PDEs", Journal of
    Computational and Applied Mathematics 88 (1998) 315-326, DOI 10.1016/S0377-0427(97)00219-7.

    Examples
    --------
    >>> from scipy.integrate import solve_ivp
    >>> from maml_ode.integrate.solvers import RKC2
    >>> run = solve_ivp(lambda t, y: -1e4 * y, (0, 1), [1.0], method=RKC2, spectral_radius=1e4)
    >>> run.success, run.nfev < 1000
    (True, True)
    """

    error_order = 3

    def __init__(
        self,
        fun: RightHandSide,
        t0: float,
        y0: npt.ArrayLike,
        t_bound: float,
        max_step: float = math.inf,
        rtol: npt.ArrayLike = 1e-3,
        atol: npt.ArrayLike = 1e-6,
        vectorized: bool = False,
        first_step: float | None = None,
        spectral_radius: float | Callable[[float, Array], float] | None = None,
        jvp: Callable[[float, Array, Array], npt.ArrayLike] | None = None,
        **extraneous: Any,
    ) -> None:
        if spectral_radius is not None and not callable(spectral_radius):
            spectral_radius = check_real("spectral_radius", spectral_radius, minimum=0.0)
        # Imported here: Numba compiles the kernels on the first import on a machine, and a run by another
        # method shall not wait for that.
        from maml_ode.integrate.solvers.kernels import chebyshev

        self._kernels: Any = chebyshev
        if jvp is not None and not callable(jvp):
            raise TypeError(f"jvp must be callable as jvp(t, y, v), not {jvp!r}.")
        self._given = spectral_radius
        self._jvp = jvp
        self.njvp = 0
        self.n_stages_last = 0
        super().__init__(
            fun,
            t0,
            y0,
            t_bound,
            vectorized,
            rtol=rtol,
            atol=atol,
            max_step=max_step,
            first_step=first_step,
            extraneous=extraneous,
        )
        self._estimate = ArnoldiEstimate(self.n)
        self._radius = 0.0
        self._age = STEPS_BETWEEN_ESTIMATES
        self._estimated_after = 0
        self._f_old = self._f_new = self.f
        self._most_stages = most_stages(float(self.rtol.min()) if self.n else 1.0)

    @classmethod
    def make_controller(cls) -> StepController:
        """Return the predictive controller of the reference code."""
        return StepController(order=3, safety=0.8, smallest=0.1, largest=10.0, predictive=True)

    @property
    def spectral_radius(self) -> float:
        """The value that the number of stages is chosen by."""
        return self._radius

    def _prepare(self, h_abs: float) -> str:
        if isinstance(self._given, float):
            self._radius = self._given
        elif self._age >= STEPS_BETWEEN_ESTIMATES:
            self._estimate_radius(h_abs)
        return ""

    def _largest_step(self) -> float:
        """Return the step that the largest number of stages is stable for."""
        return 0.65 * (self._most_stages**2 - 1) / self._radius if self._radius > 0 else math.inf

    def _estimate_radius(self, h_abs: float) -> None:
        self._age = 0
        self._estimated_after = self.n_rejected
        if callable(self._given):
            radius = float(self._given(self.t, self.y))
            if not radius >= 0:
                raise ValueError(f"spectral_radius(t, y) returned {radius} at t = {self.t:.6g}.")
        else:
            radius = self._estimate(self._product)
        if math.isfinite(radius):
            self._radius = radius
        elif self._radius == 0.0:
            self._radius = 1.0 / h_abs

    def _product(self, v: Array) -> Array:
        if self._jvp is not None:
            self.njvp += 1
            product = np.array(self._jvp(self.t, self.y, v), dtype=np.float64)
            if product.shape != (self.n,):
                raise ValueError(
                    f"jvp must return shape ({self.n},), but it returned shape {product.shape}."
                )
            return product
        size = float(np.linalg.norm(self.y))
        step = math.sqrt(np.finfo(float).eps) * (size if size > 0 else 1.0)
        return np.asarray((self.fun(self.t, self.y + step * v) - self.f) / step)

    def _attempt(self, t: float, h: float, t_new: float) -> tuple[float, Array]:
        if not isinstance(self._given, float) and self.n_rejected > self._estimated_after:
            self._estimate_radius(abs(h))
        needed = 1 + int(min(math.sqrt(1.54 * abs(h) * self._radius + 1.0), 1e6))
        stages = min(max(2, needed), max(2, self._most_stages))
        if (
            needed > stages + 1
        ):  # a new estimate asks for more than rounding allows: shorten the step
            return math.inf, self.y
        self.n_stages_last = stages
        y_new = self._stages(coefficient_table(stages), t, h)
        error = np.empty(self.n)
        self._kernels.error_estimate(self.y, y_new, self.f, self._f_new, h, error)
        return float(self._kernels.weighted_rms(error, self.y, y_new, self.rtol, self.atol)), y_new

    def _stages(self, table: Array, t: float, h: float) -> Array:
        """Return the new state, and leave the derivative there in ``_f_new``."""
        y, f, stages = self.y, self.f, len(table) - 1
        if self.native is not None:
            self._charge(stages)
            y_new, self._f_new = np.empty(self.n), np.empty(self.n)
            self._kernels.native_step(self.native, table, y, f, h, y_new, self._f_new)
            return y_new
        before, last, derivative = y, y, f
        for j in range(1, stages + 1):
            state = np.empty(self.n)
            self._kernels.stage_state(j, table, y, f, h, before, last, derivative, state)
            derivative = np.array(self.fun(t + table[j, 4] * h, state), dtype=np.float64)
            before, last = last, state
        self._f_new = derivative
        return last

    def _accept(self, y_new: Array) -> None:
        self._age += 1
        moved = float(np.linalg.norm(y_new - self.y))
        changed = float(np.linalg.norm(self._f_new - self.f))
        if changed > self._radius * moved:
            self._age = STEPS_BETWEEN_ESTIMATES
        self._f_old, self.f = self.f, self._f_new

    def _interpolate(self) -> DenseOutput:
        if self.y_old is None:
            raise RuntimeError("dense output needs an accepted step.")
        h = self.t - self.t_old
        rows = hermite_rows(self.y_old, self.y, self._f_old, self.f, h)
        return NestedDenseOutput(self.t_old, self.t, self.y_old, rows)
