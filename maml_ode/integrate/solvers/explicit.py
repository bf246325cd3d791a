"""Explicit Runge-Kutta pairs that run on a tableau."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import DenseOutput

from maml_ode._validation import Array
from maml_ode.integrate.solvers.adaptive import AdaptiveSolver, RightHandSide
from maml_ode.integrate.solvers.dense import NestedDenseOutput
from maml_ode.integrate.solvers.tableaux import ExplicitTableau

__all__ = ["ExplicitRungeKutta", "dense_rows"]


class ExplicitRungeKutta(AdaptiveSolver):
    """A pair of explicit Runge-Kutta formulas; the last stage of a step is the first of the next.

    Attributes
    ----------
    tableau : ExplicitTableau
    second_error : ndarray
        The weights of a second error estimate (`DOP853`); empty if there is none.
    """

    tableau: ExplicitTableau
    second_error: Array = np.empty(0)

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
        from maml_ode.integrate.solvers.kernels import runge_kutta

        self._kernels: Any = runge_kutta
        self._K = np.zeros((len(self.tableau.c), self.n))
        self._f_old = self.f

    def _stages(self, first: int, last: int, t: float, h: float, y: Array, out: Array) -> Array:
        """Evaluate stages first, ..., last - 1 from ``y``; return the state of the last one."""
        A, K = self.tableau.A, self._K
        if self.native is not None:
            self._charge(last - first)
            self._kernels.native_stages(self.native, first, last, A, y, h, K, out)
            return out
        for stage in range(first, last):
            out = np.empty(self.n)
            self._kernels.stage_state(stage, A, y, h, K, out)
            K[stage] = self.fun(t + self.tableau.c[stage] * h, out)
        return out

    def _attempt(self, t: float, h: float, t_new: float) -> tuple[float, Array]:
        self._K[0] = self.f
        y_new = self._stages(1, self.tableau.n_stages, t, h, self.y, np.empty(self.n))
        return self._error(h, y_new), y_new

    def _error(self, h: float, y_new: Array) -> float:
        return float(
            self._kernels.step_error(
                self.tableau.error,
                self.second_error,
                h,
                self._K,
                self.tableau.n_stages - 1,
                self.y,
                y_new,
                self.rtol,
                self.atol,
            )
        )

    def _accept(self, y_new: Array) -> None:
        self._f_old = self.f
        self.f = self._K[self.tableau.n_stages - 1].copy()

    def _interpolate(self) -> DenseOutput:
        if self.y_old is None:
            raise RuntimeError("dense output needs an accepted step.")
        self._K[0] = self._f_old
        rows = dense_rows(
            self.tableau, self._K, self.t - self.t_old, self.y_old, self.y, self._more_stages
        )
        return NestedDenseOutput(self.t_old, self.t, self.y_old, rows)

    def _more_stages(self, first: int, last: int) -> None:
        """Evaluate the stages that dense output alone needs."""
        if self.y_old is None:
            raise RuntimeError("dense output needs an accepted step.")
        h = self.t - self.t_old
        self._stages(first, last, self.t_old, h, self.y_old, np.empty(self.n))
        if self.native is None:  # each was taken for the last evaluation
            self._remember()


def dense_rows(
    tableau: ExplicitTableau,
    K: Array,
    h: float,
    y_old: Array,
    y: Array,
    more_stages: Callable[[int, int], None],
) -> Array:
    """Return the rows of a step's `NestedDenseOutput` from its stages ``K``.

    ``more_stages(first, last)`` is asked to fill the rows of K that no step needs, if there are any.
    """
    if len(tableau.c) > tableau.n_stages:
        more_stages(tableau.n_stages, len(tableau.c))
    from maml_ode.integrate.solvers.kernels.runge_kutta import interpolant_rows

    rows = np.empty((1 + len(tableau.dense), y.size))
    interpolant_rows(tableau.dense, K, h, y_old, y, rows)
    return rows
