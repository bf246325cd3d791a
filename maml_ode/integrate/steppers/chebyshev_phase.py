"""A phase that RKC2 follows in compiled code; its spectral radius is estimated between the loop's calls."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.integrate.evaluation import FieldEvaluator
from maml_ode.integrate.solvers.dense import NestedDenseOutput, hermite_rows
from maml_ode.integrate.solvers.pauses import ESTIMATE, PAUSED
from maml_ode.integrate.solvers.rkc2 import DAMPING, STEPS_BETWEEN_ESTIMATES, most_stages
from maml_ode.integrate.solvers.spectral_radius import ArnoldiEstimate
from maml_ode.integrate.steppers.native_phase import NativePhase
from maml_ode.integrate.stiffness import spectral_radius
from maml_ode.integrate.watch.finding import Interpolant
from maml_ode.sizes import MATRIX_ON_A_PATH

__all__ = ["ChebyshevPhase"]


class ChebyshevPhase(NativePhase):
    """As `NativePhase`, with what is known of the spectral radius."""

    @staticmethod
    def takes(evaluator: FieldEvaluator) -> bool:
        """Whether the spectral radius is known, or found without differences of the field."""
        return evaluator.field.affine is not None or evaluator.field.has_jacobian

    def _prepare(self) -> None:
        from maml_ode.integrate.solvers.kernels.chebyshev_phase import (
            AGE,
            EXACT,
            RADIUS,
            REJECTED,
            TRIAL,
            chebyshev_phase,
        )

        self._kernel, affine = chebyshev_phase, self._evaluator.field.affine
        self._entries = RADIUS, AGE, REJECTED, TRIAL
        self._spectrum = np.zeros(5)
        self._spectrum[AGE] = STEPS_BETWEEN_ESTIMATES
        if affine is not None:
            self._spectrum[RADIUS], self._spectrum[EXACT] = affine.spectral_radius, 1.0
        self._most_stages = most_stages(float(self._rtol[0]))
        self._arnoldi = ArnoldiEstimate(self._rtol.size)
        self._asks = False

    def advance(self, room: int, pause: int) -> int:
        """Estimate the spectral radius if the loop has come back for it, and go on."""
        if self._asks:
            self._estimate()
        code = super().advance(room, pause)
        self._asks = code == ESTIMATE
        return PAUSED if self._asks else code

    def _call(self) -> int:
        return int(
            self._kernel(
                self._evaluator.native, self._record, DAMPING, self._most_stages, STEPS_BETWEEN_ESTIMATES,
                self._spectrum, self._rtol, self._atol, self.times, self.states, self.values, self.norms,
            )
        )  # fmt: skip

    def _estimate(self) -> None:
        radius, age, rejected, trial = self._entries
        t, w, evaluator = self.t, self.w.copy(), self._evaluator
        field = evaluator.field

        def product(v: Array) -> Array:
            return evaluator.jacobian_vector(t, w, v)

        if field.descends is not None and field.dim <= MATRIX_ON_A_PATH:
            found = spectral_radius(field, w, evaluator.tally)
        else:
            found = self._arnoldi(product)
        self._spectrum[age] = self._spectrum[rejected] = 0.0
        if math.isfinite(found):
            self._spectrum[radius] = found
        elif self._spectrum[radius] == 0.0:
            self._spectrum[radius] = 1.0 / self._spectrum[trial]

    def _interpolate(self) -> Interpolant:
        last, t_old = self.steps, float(self.times[self.steps - 1])
        w_old, w = self.states[last - 1].copy(), self.states[last]
        rows = hermite_rows(w_old, w, self.values[last - 1], self.values[last], self.t - t_old)
        return NestedDenseOutput(t_old, self.t, w_old, rows)
