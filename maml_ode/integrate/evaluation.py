"""Counted, guarded evaluation of a phase's field and of its ending rule."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows.fields import GradientField, VectorField
from maml_ode.flows.flow import Until
from maml_ode.flows.switch_rules import GradientNormBelow
from maml_ode.trajectory import StopReason

__all__ = ["Abort", "FieldEvaluator", "Ledger", "SwitchingFunction", "vector_norm"]

ARMING_DISTANCE = 1e-9

# A method that meets NaN shrinks its step by 5 or 10 at every trial, and a trial has at most about 20
# evaluations: from any step to the smallest takes fewer evaluations than this.
MOST_NON_FINITE_EVALUATIONS = 1000


LONG = 4096


def vector_norm(v: Array) -> float:
    """Return the Euclidean norm, finite for finite vectors up to the largest float."""
    with np.errstate(all="ignore"):
        # A threaded BLAS waits for its threads on long vectors, which costs more than the sum itself.
        plain = float(np.linalg.norm(v) if v.size < LONG else np.sqrt(np.add.reduce(v * v)))
        if np.isfinite(plain) or not np.isfinite(v).all():
            return plain
        largest = float(np.abs(v).max())
        return largest * float(np.linalg.norm(v / largest))


class Abort(Exception):
    """Ends a run from inside an evaluation; carries the stop reason and its sentence."""

    def __init__(self, reason: StopReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Ledger:
    """The running totals of one solve: evaluation counts, wall clock, and the limit on it."""

    def __init__(
        self, max_seconds: float | None = None, max_evaluations: int | None = None
    ) -> None:
        self._tally: dict[int, tuple[Counts, int]] = {}
        self.steps = 0
        self.rejected = 0
        self.nfev = 0
        self.njev = 0
        self.nlu = 0
        self.started = time.perf_counter()
        self.max_seconds = max_seconds
        self.max_evaluations = max_evaluations

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.started

    def add(self, cost: Counts, times: int = 1) -> None:
        """Charge ``times`` evaluations."""
        known, before = self._tally.get(id(cost), (cost, 0))
        self._tally[id(cost)] = (known, before + times)

    def total(self, diagnostics: Counts | None) -> Counts:
        """Return everything charged so far, with the diagnostics beside it."""
        total = Counts(
            factorizations=self.nlu,
            steps=self.steps,
            rejected=self.rejected,
            diagnostics=diagnostics,
        )
        for cost, times in self._tally.values():
            total = total + cost * times
        return total

    def check_limits(self) -> None:
        """Raise Abort when the wall-clock or the evaluation limit has passed."""
        if self.max_evaluations is not None and self.nfev >= self.max_evaluations:
            raise Abort(
                StopReason.EVALUATION_LIMIT,
                f"{StopReason.EVALUATION_LIMIT} max_evaluations = {self.max_evaluations}.",
            )
        if self.max_seconds is not None and self.elapsed > self.max_seconds:
            raise Abort(
                StopReason.TIME_LIMIT,
                f"{StopReason.TIME_LIMIT} max_seconds = {self.max_seconds:g}.",
            )


class FieldEvaluator:
    """A phase's field as integrators call it, ``(t, w)``, counted.

    The last evaluation is remembered: asking again at the very same state, as a stationarity test at an
    accepted state does for methods whose last stage is the next step's first, costs nothing and is as fresh.
    """

    def __init__(self, field: VectorField, ledger: Ledger) -> None:
        self.field = field
        self.ledger = ledger
        self.non_finite = 0
        self._state: Array | None = None
        self._value: Array | None = None

    def __call__(self, t: float, w: Array) -> Array:
        """Return the field at ``w``; a non-finite value is handed on for the method to reject."""
        if self._state is not None and self._value is not None and np.array_equal(w, self._state):
            return self._value.copy()
        self.ledger.check_limits()
        with np.errstate(all="ignore"):
            value = self.field(w)
        self.ledger.nfev += 1
        self.ledger.add(self.field.cost)
        if np.isfinite(value).all():
            self.non_finite = 0
            self._state, self._value = w.copy(), value.copy()
        else:
            self.non_finite += 1
            if self.non_finite > MOST_NON_FINITE_EVALUATIONS:
                raise Abort(
                    StopReason.NON_FINITE,
                    f"{StopReason.NON_FINITE} The field was not finite in "
                    f"{MOST_NON_FINITE_EVALUATIONS} successive evaluations near t = {t:.6g}.",
                )
        return value

    @property
    def native(self) -> Any | None:
        """The field's handle for compiled methods; asked for late, because packing imports Numba."""
        return getattr(self.field, "native", None)

    @property
    def autonomous(self) -> bool:
        """Fields do not depend on time."""
        return True

    def remember(self, w: Array, value: Array) -> None:
        """Take the value at an accepted state from a method that has just computed it."""
        if np.isfinite(value).all():
            self.non_finite = 0
            self._state, self._value = w.copy(), value.copy()

    def charge(self, evaluations: int) -> None:
        """Count evaluations that a compiled method made through ``native``."""
        self.ledger.check_limits()
        self.ledger.nfev += evaluations
        self.ledger.add(self.field.cost, evaluations)

    def jacobian(self, t: float, w: Array) -> Array:
        """Return the field's Jacobian at ``w``."""
        self.ledger.check_limits()
        with np.errstate(all="ignore"):
            value = self.field.jacobian(w)
        self.ledger.njev += 1
        self.ledger.add(self.field.jacobian_cost)
        if not np.isfinite(value).all():
            raise Abort(
                StopReason.NON_FINITE,
                f"{StopReason.NON_FINITE} The Jacobian was not finite near t = {t:.6g}.",
            )
        return value

    def jacobian_vector(self, t: float, w: Array, v: Array) -> Array:
        """Return the field's Jacobian at ``w`` times ``v``."""
        self.ledger.check_limits()
        if isinstance(self.field, GradientField):
            self.ledger.add(self.field.objective.hvp_cost)
        else:
            self.ledger.add(self.field.jacobian_cost)
        with np.errstate(all="ignore"):
            return self.field.jacobian_vector(w, v)


class SwitchingFunction:
    """A phase's ending rule as a function of (t, w), counted, sharing the field's evaluations if it can.

    ``recurs`` says whether the rule may be the one that began the phase.
    """

    def __init__(
        self,
        until: Until,
        evaluator: FieldEvaluator,
        cost: Counts | None = None,
        recurs: bool = True,
    ) -> None:
        self.until, self.recurs = until, recurs
        # a user's rule may say what it costs, too
        declared = getattr(until, "cost", cost)
        self.cost = declared if isinstance(declared, Counts) else cost
        self.evaluator = evaluator
        field = evaluator.field
        self.shares_field = (
            isinstance(until, GradientNormBelow)
            and isinstance(field, GradientField)
            and field.objective is until.objective
        )

    def __call__(self, t: float, w: Array) -> float:
        """Return the rule's value; the phase ends where it falls to 0."""
        if isinstance(self.until, GradientNormBelow) and self.shares_field:
            return vector_norm(self.evaluator(t, w)) - self.until.threshold
        if self.cost is not None:
            self.evaluator.ledger.add(self.cost)
        with np.errstate(all="ignore"):
            value = float(self.until(t, w))
        if np.isnan(value):
            raise Abort(
                StopReason.NON_FINITE,
                f"{StopReason.NON_FINITE} The ending rule of a phase was NaN at t = {t:.6g}.",
            )
        return value

    @property
    def scale(self) -> float | None:
        """The size that the rule's value is compared with when it is called zero; None if not known."""
        return self.until.threshold if isinstance(self.until, GradientNormBelow) else None

    @property
    def arming_distance(self) -> float:
        """How far from 0 the rule must have been before it can end the phase."""
        if not self.recurs:
            return 0.0
        return ARMING_DISTANCE * (1.0 if self.scale is None else self.scale)
