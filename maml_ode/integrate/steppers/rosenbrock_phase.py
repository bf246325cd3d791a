"""A phase that Rodas5P follows in compiled code: gradient fields of few parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from maml_ode.integrate.evaluation import FieldEvaluator
from maml_ode.integrate.solvers.dense import NestedDenseOutput
from maml_ode.integrate.solvers.linear_algebra import FEW
from maml_ode.integrate.steppers.native_phase import NativePhase
from maml_ode.integrate.watch.finding import Interpolant

__all__ = ["RosenbrockPhase"]


class RosenbrockPhase(NativePhase):
    """As `NativePhase`, with the Jacobians and factorisations that a step needs."""

    @staticmethod
    def takes(evaluator: FieldEvaluator) -> bool:
        """Whether the compiled loop has the field's Jacobian, and does better than LAPACK."""
        field = evaluator.field
        return field.descends is not None and field.dim <= FEW and field.native_curved is not None

    def _prepare(self) -> None:
        from maml_ode.integrate.solvers.kernels.rosenbrock_phase import rosenbrock_phase

        tableau: Any = self._method.tableau
        dim = self.w.size
        self._kernel = rosenbrock_phase
        self._tableau = (tableau.A, tableau.C, tableau.m, float(tableau.gamma))
        self._memory: Any = (
            self._K, np.empty((dim, dim)), np.empty((dim, dim)), np.empty(dim, dtype=np.int64),
            np.empty((2, dim)),
        )  # fmt: skip
        self._counts = np.zeros(2, dtype=np.int64)

    def _call(self) -> int:
        self._counts[:] = 0
        return int(
            self._kernel(
                self._evaluator.field.native_curved, self._record, self._tableau, self._rtol, self._atol,
                self.times, self.states, self.values, self.norms, self._memory, self._counts,
            )
        )  # fmt: skip

    def book(self) -> None:
        """Count what the last call has done."""
        super().book()
        jacobians, factorizations = self._counts.tolist()
        self._evaluator.book_jacobians(jacobians)
        self._evaluator.tally.nlu += factorizations

    def _interpolate(self) -> Interpolant:
        w_old = self.states[self.steps - 1].copy()
        rows = np.vstack([self.w - w_old, self._method.tableau.dense @ self._K])
        return NestedDenseOutput(float(self.times[self.steps - 1]), self.t, w_old, rows)
