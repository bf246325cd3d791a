"""Counted, guarded evaluation of a phase's field and of its ending rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows.fields import VectorField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.flows.switch_rules import EndingRule
from maml_ode.integrate.norms import all_finite, vector_norm
from maml_ode.integrate.tally import Abort, Tally
from maml_ode.stop import Stop, StopReason

__all__ = ["FieldEvaluator", "RuleEvaluator"]

# A method that meets NaN shrinks its step by 5 or 10 at every trial, and a trial has at most about 20
# evaluations: from any step to the smallest takes fewer evaluations than this.
MOST_NON_FINITE_EVALUATIONS = 1000
DOUBLE = np.dtype(np.float64)


class FieldEvaluator:
    """A phase's field as integrators call it, ``(t, w)``, counted.

    The last evaluation is remembered: asking again at the very same state, as a stationarity test at an
    accepted state does for methods whose last stage is the next step's first, costs nothing and is as fresh.

    Parameters
    ----------
    field : VectorField
    tally : Tally
    compiled : bool
        Whether values come from the compiled code that compiled methods evaluate: NumPy's product with an affine
        field's matrix differs from theirs in the last digits.
    """

    autonomous = True  # fields do not depend on time

    def __init__(self, field: VectorField, tally: Tally, *, compiled: bool = False) -> None:
        self.field = field
        self.tally = tally
        self._compiled = _evaluate() if compiled and _has_code_of_its_own(field) else None
        # The norm that is at most tol at rest, of a state and the field's value there.
        # The look at the class is slow, so the fields that say they are not lifted are not looked at.
        lifted = field if field.is_lifted and isinstance(field, LiftedField) else None
        self.norm = _norm_of_value if lifted is None else lifted.rest_norm
        self.non_finite = 0
        # Bytes are compared and copied faster than arrays.
        self._state = b""
        self._value: Array | None = None

    def __call__(self, t: float, w: Array) -> Array:
        """Return the field at ``w``; a non-finite value is handed on for the method to reject."""
        if self._value is not None and w.tobytes() == self._state:
            return self._value.copy()
        self.tally.check_limits()
        if self._compiled is not None:  # which says nothing of numbers that overflow
            value = np.empty(w.size)
            self._compiled(self.field.native, w, value)
        else:
            with np.errstate(all="ignore"):
                value = self.field(w)
        self.tally.nfev += 1
        self.tally.add(self.field.cost)
        if all_finite(value):
            self.non_finite = 0
            self._state, self._value = w.tobytes(), value.copy()
        else:
            self.non_finite += 1
            if self.non_finite > MOST_NON_FINITE_EVALUATIONS:
                detail = (
                    f"The field was not finite in {MOST_NON_FINITE_EVALUATIONS} successive evaluations "
                    f"near t = {t:.6g}."
                )
                raise Abort(Stop(StopReason.NON_FINITE, detail))
        return value

    @property
    def remembered(self) -> tuple[Array, Array] | None:
        """The state that was evaluated last, and the value there."""
        if self._value is None:
            return None
        return np.frombuffer(self._state).copy(), self._value.copy()

    @property
    def native(self) -> Any | None:
        """The field's handle for compiled methods; asked for late, because packing imports Numba."""
        return getattr(self.field, "native", None)

    def remember(self, w: Array, value: Array, *, finite: bool = False) -> None:
        """Take a value from a compiled method that has computed it, such as that at an accepted state.

        ``finite`` says that this is known of it.
        """
        if finite or all_finite(value):
            self.non_finite = 0
            self._state, self._value = w.tobytes(), value.copy()
        else:
            self.non_finite += 1

    def charge(self, evaluations: int) -> None:
        """Count evaluations that a compiled method is about to make through ``native``."""
        self.tally.check_limits()
        self.book(evaluations)

    def book(self, evaluations: int) -> None:
        """Count evaluations that a compiled method has made within the limits."""
        self.tally.nfev += evaluations
        self.tally.add(self.field.cost, evaluations)

    def book_jacobians(self, jacobians: int) -> None:
        """Count Jacobians that a compiled method has evaluated within the limits."""
        self.tally.njev += jacobians
        self.tally.add(self.field.jacobian_cost, jacobians)

    def jacobian(self, t: float, w: Array) -> Array:
        """Return the field's Jacobian at ``w``."""
        self.tally.check_limits()
        with np.errstate(all="ignore"):
            value = self.field.jacobian(w)
        self.tally.njev += 1
        self.tally.add(self.field.jacobian_cost)
        if not np.isfinite(value).all():
            detail = f"The Jacobian was not finite near t = {t:.6g}."
            raise Abort(Stop(StopReason.NON_FINITE, detail))
        return value

    def jacobian_vector(self, t: float, w: Array, v: Array) -> Array:
        """Return the field's Jacobian at ``w`` times ``v``."""
        self.tally.check_limits()
        self.tally.add(self.field.jvp_cost)
        with np.errstate(all="ignore"):
            return self.field.jacobian_vector(w, v)


def _has_code_of_its_own(field: VectorField) -> bool:
    """Whether compiled methods do not evaluate what the field itself calls, as one of compiled families does."""
    return field.affine is not None or (isinstance(field, LiftedField) and field.native is not None)


def _norm_of_value(w: Array, value: Array) -> float:
    return vector_norm(value)


@cache
def _evaluate() -> Callable[[Any, Array, Array], None]:
    """Return what compiled methods evaluate; late, because it imports Numba."""
    from maml_ode.compiled import fields
    from maml_ode.compiled.unasked import unasked

    evaluate = fields.evaluate.from_python.compiled
    evaluate_doubles = unasked(evaluate)

    def contiguously(handle: Any, w: Array, out: Array) -> None:
        if not w.flags.c_contiguous:
            w = np.ascontiguousarray(w)
        (evaluate_doubles if w.dtype is DOUBLE else evaluate)(handle, w, out)

    return contiguously


class RuleEvaluator:
    """A phase's ending rule, counted, sharing the field's evaluations if it can.

    It knows how large the rule has been in the run, so that what is small is measured by the rule itself.

    Parameters
    ----------
    rule : EndingRule
    evaluator : FieldEvaluator
        The phase's field.
    recurs : bool
        Whether the rule may be the one that began the phase.
    """

    def __init__(self, rule: EndingRule, evaluator: FieldEvaluator, recurs: bool) -> None:
        self.rule = rule
        self.evaluator = evaluator
        self.recurs = recurs
        self.largest = 0.0
        # The rule looks at the norm of this phase's own field.
        self.shares_field = rule.norm_of is not None and evaluator.field.descends is rule.norm_of

    def __call__(self, t: float, w: Array) -> float:
        """Return the rule's value in the phase's state ``w``, of which the rule sees what is observed."""
        if self.shares_field:
            norm = vector_norm(self.evaluator(t, w))
            value = self.rule.sign * (norm - (self.rule.scale or 0.0))
        else:
            self.evaluator.tally.check_limits()
            if self.rule.cost is not None:
                self.evaluator.tally.add(self.rule.cost)
            with np.errstate(all="ignore"):
                value = self.rule(t, self.evaluator.field.observe(w))
        if np.isnan(value):
            detail = f"The ending rule of a phase was NaN at t = {t:.6g}."
            raise Abort(Stop(StopReason.NON_FINITE, detail))
        if np.isfinite(value):
            self.largest = max(self.largest, abs(value))
        return value

    def is_met(self, value: float) -> bool:
        """Whether a value ends the phase."""
        return value < 0 or (value == 0 and not self.rule.strict)

    @property
    def residue(self) -> float:
        """What may be left of the rule's value at a switch that it has just brought about."""
        if not self.recurs:
            return 0.0
        return RESIDUE * (self.largest if self.rule.scale is None else self.rule.scale)


# Twice what landing on a switch leaves at most.
RESIDUE = 2e-13
