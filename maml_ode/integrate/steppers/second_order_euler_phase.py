"""Heavy ball and Nesterov's method in compiled code, as many iterates a call as take little time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows.second_order_fields import SecondOrderField
from maml_ode.integrate.evaluation import FieldEvaluator
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment
from maml_ode.integrate.steppers.euler_phase import EulerPhase, book

__all__ = ["SecondOrderEulerPhase"]


class SecondOrderEulerPhase(EulerPhase):
    """As `EulerPhase`, for the algorithm that a field of second order carries.

    Parameters
    ----------
    field : SecondOrderField
        What the phase follows.
    driving : FieldEvaluator
        Of the field that drives it, which has a native handle. The phase's rule, if any, looks at its norm.
    **others
        As for `EulerPhase`.
    """

    def __init__(
        self,
        field: SecondOrderField,
        driving: FieldEvaluator,
        segment: Segment,
        record: Record,
        step_size: float,
        record_every: int,
        target: float,
        most: int,
    ) -> None:
        self._field, self._driving = field, driving
        super().__init__(segment, record, step_size, record_every, target, most)

    def _prepare(self, dim: int) -> None:
        from maml_ode.integrate.solvers.kernels.second_order_euler import second_order_euler

        self._kernel: Any = second_order_euler
        self._z = np.empty(dim)
        self._ahead, self._force = np.empty((2, self._field.dim))
        self._done = np.zeros(4, dtype=np.int64)

    def go_on(self, k: int, room: int, z: Array, force: Array) -> bool:
        """Take up to ``room`` steps from iterate ``k`` and record them; return whether there were any.

        ``force`` is what the iterate's algorithm evaluates. The state after the last step, and where the force was
        evaluated last if it is finite there, are the record's and the evaluator's.
        """
        self._z[:] = z
        self._ahead[:] = self._field.look_ahead(z, self._step_size)
        self._force[:] = force
        return self._batch(k, room)

    def _call(self, k: int, room: int) -> None:
        self._kernel(
            self._driving.native, self._step_size, self._field.friction_number, k, room, self._every,
            self._target, self._sign, self._threshold, self._z, self._ahead, self._force,
            self._states, self._done,
        )  # fmt: skip

    def _take(self, k: int, steps: int) -> None:
        _, rows, evaluations, looks = self._done.tolist()
        book(self._driving, evaluations, self._ahead, self._force)
        rule = self._segment.rule
        if looks > 1 and rule is not None and rule.rule.cost is not None:
            # Whoever sees the last iterate looks there again.
            self._driving.tally.add(rule.rule.cost, looks - 1)
        self._keep(k, steps, rows, self._z.copy(), math.nan)
