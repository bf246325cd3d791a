"""Linearly implicit Rosenbrock methods for stiff flows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import DenseOutput

from maml_ode._validation import Array
from maml_ode.integrate.solvers.adaptive import AdaptiveSolver, RightHandSide
from maml_ode.integrate.solvers.control import StepController
from maml_ode.integrate.solvers.dense import NestedDenseOutput
from maml_ode.integrate.solvers.linear_algebra import (
    Factorization,
    difference_increments,
    factorize,
    is_symmetric,
)
from maml_ode.integrate.solvers.rosenbrock_tableaux import RODAS4P, RODAS5P
from maml_ode.integrate.solvers.tableaux import RosenbrockTableau

__all__ = ["Rodas4P", "Rodas5P"]

Jacobian = Callable[[float, Array], Any] | npt.ArrayLike | None


class _Rosenbrock(AdaptiveSolver):
    """One Jacobian and one factorisation of I - gamma h J a step, with which every stage is solved."""

    tableau: RosenbrockTableau

    def __init__(
        self,
        fun: RightHandSide,
        t0: float,
        y0: npt.ArrayLike,
        t_bound: float,
        max_step: float = math.inf,
        rtol: npt.ArrayLike = 1e-3,
        atol: npt.ArrayLike = 1e-6,
        jac: Jacobian = None,
        vectorized: bool = False,
        first_step: float | None = None,
        **extraneous: Any,
    ) -> None:
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
        # Imported here: Numba compiles the kernels on the first import on a machine, and a run by another
        # method shall not wait for that.
        from maml_ode.integrate.solvers.kernels import rosenbrock

        self._kernels: Any = rosenbrock
        self._jac = jac
        self._J: Array | None = None
        self._symmetric = False
        self._constant = jac is not None and not callable(jac)
        if self._constant:
            self._J = self._checked_jacobian(jac)
            self._symmetric = is_symmetric(self._J)
        self._factorization: Factorization | None = None
        self._scale = math.nan
        self._f_t: Array | None = np.empty(0) if self.autonomous else None
        self._f_is_current = True
        self._U = np.zeros((len(self.tableau.c), self.n))

    @classmethod
    def make_controller(cls) -> StepController:
        """Return a predictive controller."""
        order = cls.tableau.order
        return StepController(order=order, smallest=0.2, largest=6.0, predictive=True)

    def _checked_jacobian(self, value: Any) -> Array:
        if hasattr(value, "toarray"):
            value = value.toarray()
        J = np.array(value, dtype=np.float64, order="C")
        if J.shape != (self.n, self.n):
            raise ValueError(
                f"jac must have shape ({self.n}, {self.n}), but it has shape {J.shape}."
            )
        return J

    def _prepare(self, h_abs: float) -> str:
        """Evaluate what is new at the accepted state: f and the Jacobian."""
        if not self._f_is_current:
            self.f = np.array(self.fun(self.t, self.y), dtype=np.float64)
            self._f_is_current = True
            if not np.isfinite(self.f).all():
                return f"The right-hand side is not finite at t = {self.t:.6g}."
        if self._J is None:
            self.njev += 1
            if callable(self._jac):
                J = self._checked_jacobian(self._jac(self.t, self.y))
            else:
                J = self._difference_jacobian(h_abs)
            if not np.isfinite(J).all():
                return f"The Jacobian is not finite at t = {self.t:.6g}."
            self._J, self._symmetric = J, is_symmetric(J)
        return ""

    def _difference_jacobian(self, h_abs: float) -> Array:
        """Form the Jacobian by one-sided differences, n evaluations."""
        increments = difference_increments(self.y, self.f, h_abs, self.rtol, self.atol)
        increments = (self.y + increments) - self.y  # what is added exactly
        J = np.empty((self.n, self.n))
        if self.vectorized:
            self.nfev += self.n
            values = self.fun_vectorized(self.t, self.y[:, None] + np.diag(increments))
            J[:] = (values - self.f[:, None]) / increments
        else:
            for k in range(self.n):
                y = self.y.copy()
                y[k] += increments[k]
                J[:, k] = (self.fun(self.t, y) - self.f) / increments[k]
        return J

    def _time_derivative(self, t: float, h: float) -> Array:
        """Return df/dt by one-sided differences of second order inside the step; empty if f ignores t."""
        step = h * float(np.finfo(float).eps) ** (1 / 3)
        if t + step == t:
            return np.empty(0)
        near, far = (t + step) - t, (t + 2 * step) - t
        if far <= near if h > 0 else far >= near:
            return np.empty(0)
        f_near = np.asarray(self.fun(t + near, self.y))
        if np.array_equal(f_near, self.f):
            return np.empty(0)
        f_far = np.asarray(self.fun(t + far, self.y))
        slope_near, slope_far = (f_near - self.f) / near, (f_far - self.f) / far
        return np.asarray((far * slope_near - near * slope_far) / (far - near))

    def _attempt(self, t: float, h: float, t_new: float) -> tuple[float, Array]:
        tableau = self.tableau
        if self._J is None:
            raise RuntimeError("a step was attempted without Jacobian.")
        scale = tableau.gamma * h
        if self._factorization is None or scale != self._scale:
            self._factorization, tried = factorize(self._J, scale, self._symmetric)
            self._scale = scale
            self.nlu += tried
        if self._factorization is None:
            return math.inf, self.y
        if self._f_t is None or not np.isfinite(self._f_t).all():
            self._f_t = self._time_derivative(t, h)
        self._solve_stages(t, h, self._factorization)
        y_new = np.empty(self.n)
        self._kernels.new_state(tableau.m, self.y, self._U, y_new)
        error = self._U[-1].copy()
        return float(self._kernels.weighted_rms(error, self.y, y_new, self.rtol, self.atol)), y_new

    def _solve_stages(self, t: float, h: float, by: Factorization) -> None:
        tableau, U, stages = self.tableau, self._U, len(self.tableau.c)
        A, C, gamma = tableau.A, tableau.C, tableau.gamma
        if self.native is not None:
            self._charge(stages - 1)
            self._kernels.native_stages(
                self.native, A, C, gamma, h, by.factor, by.pivots, self.y, self.f, U,
                np.empty(self.n), np.empty(self.n),
            )  # fmt: skip
            return
        f = self.f
        f_t = np.empty(0) if self._f_t is None else self._f_t
        for stage in range(stages):
            if stage > 0:
                state = np.empty(self.n)
                self._kernels.stage_state(stage, A, self.y, U, state)
                f = np.array(self.fun(t + tableau.c[stage] * h, state), dtype=np.float64)
            self._kernels.solve_stage(
                stage, C, gamma, h, by.factor, by.pivots, f, f_t, tableau.d[stage], U
            )

    def _accept(self, y_new: Array) -> None:
        self._f_is_current = False
        if not self._constant:
            self._J = self._factorization = None
        if not self.autonomous:
            self._f_t = None

    def _remember(self) -> None:
        """Do nothing: the derivative at the new state is not known before the next step."""

    def _interpolate(self) -> DenseOutput:
        if self.y_old is None:
            raise RuntimeError("dense output needs an accepted step.")
        rows = np.vstack([self.y - self.y_old, self.tableau.dense @ self._U])
        return NestedDenseOutput(self.t_old, self.t, self.y_old, rows)


class Rodas5P(_Rosenbrock):
    """Rosenbrock method of order 5(4) with an interpolant of order 4: L-stable, no order reduction.

    Linearly implicit: a step evaluates the Jacobian once, factorises I - gamma h J once and solves eight linear
    systems with it; nothing is iterated. Where J is symmetric, as -Hess F is in a gradient flow, and
    I - gamma h J positive definite, the factorisation is Cholesky's; otherwise LU. Seven evaluations a step and
    one at its start. Order 4 is kept, uniformly in the stiffness, on the problem of Prothero and Robinson.
    |R(z)| <= 1 on the whole left half-plane: on a convex quadratic objective every step lowers the objective. On
    any other the error control sees to it in practice, not by proof.

    A Rosenbrock method needs the true Jacobian: a wrong one costs accuracy, not only speed.

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
    jac : callable, array_like or sparse matrix, optional
        ``jac(t, y) -> (n, n)``, or the Jacobian of a right-hand side linear in y with constant coefficients. By
        default it is formed by differences, n evaluations, which are counted in ``nfev``.
    vectorized : bool
        Whether ``fun`` also accepts ``y`` of shape (n, k).

    Raises
    ------
    ValueError
        For tolerances of wrong shape or negative, a step that is not positive, a first step beyond the
        interval, a y0 that is not finite, or a ``fun`` or ``jac`` of wrong shape.

    References
    ----------
    G. Steinebach, "Construction of Rosenbrock-Wanner method Rodas5P and numerical benchmarks within the Julia
    Differential Equations package", BIT Numerical Mathematics 63 (2023) 27, DOI 10.1007/s10543-023-00967-x.

    Examples
    --------
    >>> from scipy.integrate import solve_ivp
    >>> from maml_ode.integrate.solvers import Rodas5P
    >>> run = solve_ivp(lambda t, y: -1e4 * y, (0, 1), [1.0], method=Rodas5P, jac=[[-1e4]])
    >>> run.success, len(run.t) < 30
    (True, True)
    """

    tableau = RODAS5P
    error_order = 5


class Rodas4P(_Rosenbrock):
    """Rosenbrock method of order 4(3) with an interpolant of order 3: L-stable, six stages.

    As `Rodas5P`, with fewer evaluations a step: for loose tolerances (1e-2 to 1e-5).

    Parameters
    ----------
    fun, t0, y0, t_bound, max_step, first_step, rtol, atol, jac, vectorized
        As in `Rodas5P`.

    References
    ----------
    G. Steinebach, "Order-reduction of ROW-methods for DAEs and method of lines applications", preprint 1741,
    TH Darmstadt (1995); Hairer and Wanner II, section VI.4.

    Examples
    --------
    >>> from scipy.integrate import solve_ivp
    >>> from maml_ode.integrate.solvers import Rodas4P
    >>> run = solve_ivp(lambda t, y: -1e4 * y, (0, 1), [1.0], method=Rodas4P, jac=[[-1e4]])
    >>> run.success, len(run.t) < 40
    (True, True)
    """

    tableau = RODAS4P
    error_order = 4
