"""The phase machine: which phase comes when, and what to do where two of them push at each other."""

from __future__ import annotations

import math

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows import Flow, GradientNormBelow, SwitchRule
from maml_ode.flows.sliding import SlidingField
from maml_ode.integrate.assemble import Path
from maml_ode.integrate.evaluation import (
    Abort,
    FieldEvaluator,
    Ledger,
    SwitchingFunction,
    vector_norm,
)
from maml_ode.integrate.segment import Outcome, Segment, Settings, Tape
from maml_ode.trajectory import StopReason

__all__ = ["PhaseMachine"]

MOST_SWITCHES = 1000


class PhaseMachine:
    """Runs a flow through its phases with one method.

    One-way flows follow their phases in order. Under ``rule="retest"`` and ``"as_printed"`` the phase is
    chosen by the sign of phase 0's ending rule s, again and again: retest takes field 0 where s > 0 and
    field 1 elsewhere, as_printed the other way round. Where both fields then push towards {s = 0} the path
    slides along it (Filippov), which is recognised at the switch and named, or followed as phase 2.
    """

    def __init__(
        self, flow: Flow, ledger: Ledger, settings: Settings, *, tol: float, follow_sliding: bool
    ) -> None:
        self.flow = flow
        self.ledger = ledger
        self.settings = settings
        self.tol = tol
        self.follow_sliding = follow_sliding
        self.path = Path(len(flow.phases))
        self.tape = Tape()
        self._evaluators = [FieldEvaluator(phase.field, ledger) for phase in flow.phases]

    def run(self, t: float, w: Array, number: int | None = None) -> Path:
        """Follow the flow from ``w`` at time ``t``, in phase ``number`` if that is known."""
        self.tape.times.append(t)
        self.path.append(t, w, number or 0)
        try:
            return self._advance(t, w, number)
        except Abort as stop:  # raised between two segments, by an ending rule or a limit
            last = self.path.times[-1], self.path.states[-1]
            self.path.end(*last, stop.reason, stop.message, False)
            return self.path

    def _advance(self, t: float, w: Array, number: int | None) -> Path:
        if number is None:
            number = self._first_phase(t, w)
        while True:
            number = self._skip_ended_phases(number, t, w)
            if number >= len(self.flow.phases):
                self.path.append(t, w, len(self.flow.phases) - 1)
                self.path.end(t, w, StopReason.SWITCHED, str(StopReason.SWITCHED), True)
                return self.path
            self.path.append(t, w, number)
            rule, direction, following = self._switching(number)
            outcome = self._segment(number, self._evaluators[number], rule, direction).run(t, w)
            t, w = outcome.t, outcome.w
            if outcome.stop is not StopReason.SWITCHED:
                self._end(outcome, number)
                return self.path
            self.path.switch(t, w, number)
            number = following
            if self._slides(number, t, w):
                if not self.follow_sliding:
                    return self._chatter(t, w, number)
                outcome = self._slide(t, w)
                t, w = outcome.t, outcome.w
                if outcome.stop is not StopReason.SWITCHED:
                    self._end(outcome, number)
                    return self.path
                self.path.switch(t, w, len(self.flow.phases))
                number = self._after_sliding(w)
            if len(self.path.switches) > MOST_SWITCHES:
                return self._chatter(t, w, number)

    def _segment(
        self,
        number: int,
        evaluator: FieldEvaluator,
        rule: SwitchingFunction | None,
        direction: int,
    ) -> Segment:
        tol = self.tol if self._is_final(number) else 0.0
        return Segment(
            number, evaluator, rule, direction, tol, self.settings, self.ledger, self.path, self.tape
        )  # fmt: skip

    def _end(self, outcome: Outcome, number: int) -> None:
        """Record the end; being stuck in phase 0 under ``as_printed`` is not what was asked for."""
        stuck = self.flow.rule is SwitchRule.AS_PRINTED and number == 0
        asked_for = outcome.stop is StopReason.HORIZON or (
            outcome.stop is StopReason.STATIONARY and not stuck
        )
        self.path.end(outcome.t, outcome.w, outcome.stop, outcome.message, asked_for)

    def _chatter(self, t: float, w: Array, number: int) -> Path:
        self.path.append(t, w, number)
        message = (
            f"{StopReason.CHATTERING} At t = {t:.6g}; sliding='follow' follows the path along it, and "
            "rule='one_way' does not test again."
        )
        self.path.end(t, w, StopReason.CHATTERING, message, False)
        return self.path

    def _first_phase(self, t: float, w: Array) -> int:
        if self.flow.rule is SwitchRule.ONE_WAY:
            return 0
        inside = self._rule(0)(t, w) <= 0
        return int(inside) if self.flow.rule is SwitchRule.RETEST else int(not inside)

    def _rule(self, number: int) -> SwitchingFunction:
        until = self.flow.phases[number].until
        if until is None:
            raise RuntimeError("a phase without ending rule was asked for it.")
        recurs = self.flow.rule is not SwitchRule.ONE_WAY or self.flow.re_entrant
        return SwitchingFunction(until, self._evaluators[number], recurs=recurs)

    def _skip_ended_phases(self, number: int, t: float, w: Array) -> int:
        """One-way flows: pass over phases whose ending rule is already met.

        Not where phases come again: the rule that began a phase may be the one that ends it, and is then
        waited for until the state has moved away from it.
        """
        if self.flow.rule is not SwitchRule.ONE_WAY or self.flow.re_entrant:
            return number
        while number < len(self.flow.phases) and self.flow.phases[number].until is not None:
            if self._rule(number)(t, w) > 0:
                break
            self.path.switch(t, w, number)
            number = self.flow.following(number)
        return number

    def _switching(self, number: int) -> tuple[SwitchingFunction | None, int, int]:
        """Return the phase's ending rule, the direction of its crossing, and the phase after it."""
        if self.flow.rule is SwitchRule.ONE_WAY:
            if self.flow.phases[number].until is None:
                return None, 1, number
            return self._rule(number), 1, self.flow.following(number)
        outer = 0 if self.flow.rule is SwitchRule.RETEST else 1
        return self._rule(0), 1 if number == outer else -1, 1 - number

    def _is_final(self, number: int) -> bool:
        """Whether a vanishing field in this phase ends the run."""
        if self.flow.rule is SwitchRule.AS_PRINTED or number >= len(self.flow.phases):
            return True
        if self.flow.phases[number].then is not None:
            return False
        return number >= len(self.flow.phases) - 1

    def _slides(self, following: int, t: float, w: Array) -> bool:
        """Whether the phase being entered pushes back to the surface that the last one pushed to."""
        if self.flow.rule is SwitchRule.ONE_WAY:
            return False
        rule, direction, _ = self._switching(following)
        if rule is None:
            return False
        velocity = self._evaluators[following](t, w)
        return direction * self._surface_speed(rule, t, w, velocity) < 0

    def _surface_speed(self, rule: SwitchingFunction, t: float, w: Array, velocity: Array) -> float:
        """Return ds/dt along ``velocity``: grad||g|| . v = g'Hv/||g||, or a difference quotient."""
        if isinstance(rule.until, GradientNormBelow):
            objective = rule.until.objective
            gradient = objective.gradient(w)
            self.ledger.add(objective.gradient_cost)
            self.ledger.add(objective.hvp_cost)
            size = vector_norm(gradient)
            return float(gradient @ objective.hvp(w, velocity)) / size if size > 0 else 0.0
        speed = vector_norm(velocity)
        if speed == 0 or not math.isfinite(speed):
            return 0.0
        h = 1e-6 * (1.0 + vector_norm(w)) / speed
        return (rule(t, w + h * velocity) - rule(t, w)) / h

    def _sliding_field(self) -> SlidingField:
        until = self.flow.phases[0].until
        if not isinstance(until, GradientNormBelow):
            raise ValueError(
                "sliding='follow' needs a first phase that ends at a gradient norm, whose normal is "
                "known; use sliding='stop'."
            )
        fields = [phase.field for phase in self.flow.phases]
        if self.flow.rule is SwitchRule.AS_PRINTED:
            fields.reverse()
        return SlidingField(fields[0], fields[1], until)

    def _slide(self, t: float, w: Array) -> Outcome:
        """Follow the Filippov motion until it rests or leaves the surface."""
        field = self._sliding_field()
        evaluator = FieldEvaluator(field, self.ledger)
        number = len(self.flow.phases)
        self.path.append(t, w, number)
        rule = SwitchingFunction(field.margin, evaluator, cost=field.cost)
        outcome = self._segment(number, evaluator, rule, 1).run(t, w)
        if outcome.stop is not StopReason.STATIONARY:
            return outcome
        message = (
            f"{outcome.message} It is the sliding field that vanishes: a KKT point of minimising F subject "
            "to f <= c, not a stationary point of F."
        )
        return Outcome(outcome.t, outcome.w, outcome.stop, message)

    def _after_sliding(self, w: Array) -> int:
        inward = self._sliding_field().leaves_inward(np.asarray(w))
        inner = 1 if self.flow.rule is SwitchRule.RETEST else 0
        return inner if inward else 1 - inner
