"""Members of flows on compiled fields: whole phases of all of them in compiled code."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import OdeSolver

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.flows import Flow, GradientNormBelow, SwitchRule
from maml_ode.flows.fields import VectorField
from maml_ode.flows.flow import Leg
from maml_ode.flows.variants import takes_inner_steps
from maml_ode.integrate.ensembles.members import Indices, Members
from maml_ode.integrate.ensembles.request import Request
from maml_ode.integrate.ensembles.watch import Watch
from maml_ode.integrate.evaluation import FieldEvaluator
from maml_ode.integrate.plan import Plan
from maml_ode.integrate.solvers import DOP853, Tsit5
from maml_ode.integrate.solvers.adaptive import SMALLEST_RTOL
from maml_ode.integrate.solvers.member_codes import (
    AT_REST,
    CROSSED,
    CUT_OFF,
    FRESH,
    GOING,
    IRREGULAR,
    LOOKED_AT,
    OUT_OF_STEPS,
)
from maml_ode.integrate.steppers.native_phase import fresh_record
from maml_ode.integrate.tally import Tally
from maml_ode.integrate.watch.finding import Batch, Step
from maml_ode.integrate.watch.stiffness import STEPS_BETWEEN_LOOKS, StiffnessWatch
from maml_ode.stop import StopReason

__all__ = ["CompiledLoop", "has_compiled_loop"]

# Whose steps the loop takes; a subclass may do anything at a step, so these classes themselves.
METHODS: tuple[type[OdeSolver], ...] = (Tsit5, DOP853)
# Keys, time limits and progress are seen to between calls, so none may take much longer than this.
CALL_SECONDS = 0.03
FIRST_BUDGET = 256
# Members are handed to threads in portions, so that none waits long for the slowest.
PORTIONS = 8
# The steps at whose end the spectrum is looked at.
MANY = Batch(
    np.empty(STEPS_BETWEEN_LOOKS),
    np.empty((STEPS_BETWEEN_LOOKS, 0)),
    np.full(STEPS_BETWEEN_LOOKS, math.nan),
)


def has_compiled_loop(flow: Flow, plan: Plan) -> bool:
    """Whether members of a flow can be followed in compiled code."""
    return (
        plan.method in METHODS
        and plan.tolerances.rtol >= SMALLEST_RTOL
        and all(_is_size(option) for option in plan.step_options.values())
        and flow.rule is SwitchRule.ONE_WAY
        and all(_is_simple(number, leg) for number, leg in enumerate(flow.legs))
        and all(leg.field.native is not None for leg in flow.legs)
    )


def _is_size(value: object) -> bool:
    """Whether an option is what the method takes; what is wrong with it, the method itself says."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _is_simple(number: int, leg: Leg) -> bool:
    """Whether a phase, on w alone, leads to the next one, and ends at a norm of its own field or not at all."""
    if leg.then != number + 1 or leg.field.is_lifted:
        return False
    rule = leg.rule
    if rule is None:
        return True
    own = isinstance(rule, GradientNormBelow) and rule.objective is leg.field.descends
    return own and bool(rule.scale)


class CompiledLoop:
    """Follows a group of members through the phases of their flow.

    Parameters
    ----------
    request : Request
    members : Members
    watch : Watch
    threads : int
        How many threads share the members; what is found does not depend on it.
    """

    def __init__(self, request: Request, members: Members, watch: Watch, threads: int) -> None:
        self._request = request
        self._members = members
        self._watch = watch
        self._threads = threads
        size, dim = members.w.shape
        self._values = np.empty((size, dim))
        self._began, self._starts = np.zeros((2, size))
        self._codes, self._evaluations, self._taken = np.zeros((3, size), dtype=np.int64)
        self._halt = np.zeros(1, dtype=np.int64)
        self._looks: dict[int, _Looks] = {}
        self._seconds_per_evaluation = 0.0

    def follow(self, which: Indices, flow: Flow, plan: Plan, looks: Mapping[int, Tally]) -> Indices:
        """Follow members to their ends; return those that need runs of their own.

        Parameters
        ----------
        which, flow, plan
            The members, the flow of one of them, and how they step.
        looks : mapping
            What has been spent on some of them so far.

        Raises
        ------
        KeyboardInterrupt, OutOfTime
            When a key or the time limit ends the ensemble; every member keeps what it has.
        """
        from maml_ode.integrate.solvers.kernels.phase_record import new_phases

        method: Any = plan.method
        phases = new_phases(len(self._members))
        template = np.frombuffer(fresh_record(method), phases.dtype)[0]
        phases[which] = template
        phases["rtol"], phases["atol"] = plan.tolerances.rtol, plan.tolerances.atol
        phases["max_step"] = plan.longest_step
        everybody, spent = which, []
        alone = np.zeros(len(self._members), dtype=bool)
        self._looks = {k: _Looks(tally) for k, tally in looks.items()}
        try:
            for number, leg in enumerate(flow.legs):
                self._set_heeds(phases, which, number, leg, plan)
                self._codes[which] = FRESH
                self._evaluations[:] = 0
                self._taken[which] = 0
                self._starts[which] = self._members.t[which]
                try:
                    self._run_phase(which, number, leg, plan, phases)
                finally:
                    spent.append((leg.field.cost, self._evaluations.copy()))
                    codes = self._codes[which]
                    alone[which[codes == IRREGULAR]] = True
                    which = self._end(which, codes, number, flow)
        finally:
            self._book(everybody[~alone[everybody]], spent)
            self._members.forget(np.flatnonzero(alone))
        return np.flatnonzero(alone)

    def _set_heeds(self, phases: Any, which: Indices, number: int, leg: Leg, plan: Plan) -> None:
        """Say what the loop looks out for in a phase (as ``steppers.attention`` does for a run)."""
        rule, target = leg.rule, self._request.tol if leg.final else 0.0
        patient = target > 0 and math.isfinite(plan.t_max)
        deaf = patient and plan.tolerances.tightened() is None
        phases["t_bound"][which], phases["target"][which] = plan.t_max, target
        phases["sign"][which] = 0.0 if rule is None else 1.0
        phases["threshold"][which] = self._thresholds(which, leg)
        phases["watches_stall"][which] = not deaf and (target > 0 or rule is not None)

    def _thresholds(self, which: Indices, leg: Leg) -> Any:
        own = self._request.switch_tol
        if leg.rule is None:
            return 0.0
        return leg.rule.scale if own is None else own[which]

    def _end(self, which: Indices, codes: Indices, number: int, flow: Flow) -> Indices:
        """Say what has ended whom; return those that go on with the next phase."""
        members, last = self._members, number == len(flow.legs) - 1
        for code, reason, asked_for in (
            (AT_REST, StopReason.STATIONARY, last),
            (CUT_OFF, StopReason.HORIZON, True),
            (OUT_OF_STEPS, StopReason.STEP_LIMIT, False),
        ):
            members.end(which[codes == code], reason, asked_for=asked_for)
        rests: Indices = which[codes == AT_REST]
        if last and rests.size:
            members.norm[rests] = _norms(self._values[rests])
        crossed: Indices = which[codes == CROSSED]
        if crossed.size:
            members.switch_times[crossed, number] = members.t[crossed]
        if last:
            members.end(crossed, StopReason.SWITCHED, asked_for=True)
            crossed = crossed[:0]
        return crossed

    def _book(self, regular: Indices, spent: list[tuple[Counts, Indices]]) -> None:
        """Count what members have evaluated; runs of their own count those that need them from the start."""
        counts = self._members.counts
        for cost, evaluations in spent:
            counts = counts + cost * int(evaluations[regular].sum())
        for k in set(self._looks).intersection(regular.tolist()):
            counts = counts + self._looks[k].tally.total(None)
        steps, rejected = self._members.steps, self._members.rejected
        taken = Counts(steps=int(steps[regular].sum()), rejected=int(rejected[regular].sum()))
        self._members.counts = counts + taken

    def _run_phase(self, which: Indices, number: int, leg: Leg, plan: Plan, phases: Any) -> None:
        arguments = self._arguments(leg, plan, phases)
        while True:
            going = which[(self._codes[which] == FRESH) | (self._codes[which] == GOING)]
            if going.size == 0:
                return
            self._run_all(going, arguments, leg.field)
            looked_at = which[self._codes[which] == LOOKED_AT]
            for k in looked_at:
                self._codes[k] = self._look(int(k), number, plan)

    def _arguments(self, leg: Leg, plan: Plan, phases: Any) -> tuple[Any, ...]:
        members, request, method, dim = self._members, self._request, plan.method, leg.field.dim
        tableau, tolerances = method.tableau, plan.tolerances
        own = request.alpha is not None and takes_inner_steps(leg.field)
        own = own and leg.field.affine is None
        first = plan.step_options.get("first_step")
        return (
            leg.field.native,
            request.alpha if own else np.empty(0),
            phases,
            (tableau.A, tableau.error, method.second_error, tableau.dense),
            (np.full(dim, tolerances.rtol), np.full(dim, tolerances.atol)),
            method.error_order,
            math.nan if first is None else float(first),
            plan.max_steps,
            0 if plan.stiff_method is None else STEPS_BETWEEN_LOOKS,
            (members.t, members.w, self._values, self._began),
            (self._codes, members.steps, members.rejected, self._evaluations, self._taken),
        )

    def _run_all(self, going: Indices, arguments: tuple[Any, ...], field: VectorField) -> None:
        """Follow members until each is done or waits for a look at its spectrum."""
        self._halt[0] = 0
        portions = self._portions(going, field)
        if self._threads == 1:
            for portion in portions:
                for _ in self._calls(portion, arguments, field):
                    self._watch.look(self._done)
            return

        def work(portion: Indices) -> None:
            for _ in self._calls(portion, arguments, field):
                pass

        pool = ThreadPoolExecutor(self._threads)
        try:
            futures = [pool.submit(work, portion) for portion in portions]
            left: Any = set(futures)
            while left:
                done, left = wait(left, timeout=CALL_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                self._watch.look(self._done)
        finally:
            self._halt[0] = 1
            pool.shutdown(wait=True, cancel_futures=True)

    def _portions(self, going: Indices, field: VectorField) -> list[Indices]:
        """Return what is followed by one thread at a time."""
        if self._threads == 1:
            return [going]
        return np.array_split(going, min(going.size, PORTIONS * self._threads))

    def _done(self) -> int:
        """Return how many have come to the end of the present phase."""
        return int(np.count_nonzero(self._codes >= AT_REST))

    def _calls(
        self, going: Indices, arguments: tuple[Any, ...], field: VectorField
    ) -> Iterator[None]:
        """Follow members by calls of about the same time."""
        from maml_ode.integrate.solvers.kernels.members_loop import follow

        cursor = np.array([0, going.size])
        while cursor[0] < cursor[1] and not self._halt[0]:
            budget, began = self._budget(), time.perf_counter()
            before = int(self._evaluations[going].sum())
            follow(*arguments, going, cursor, budget, self._halt)
            self._keep_pace(int(self._evaluations[going].sum()) - before, began)
            yield

    def _budget(self) -> int:
        """Return how many evaluations a call may make."""
        pace = self._seconds_per_evaluation
        return FIRST_BUDGET if pace == 0.0 else max(1, int(CALL_SECONDS / pace))

    def _keep_pace(self, made: int, began: float) -> None:
        if made > 0:
            self._seconds_per_evaluation = (time.perf_counter() - began) / made

    def _look(self, k: int, number: int, plan: Plan) -> int:
        """Look at a member's spectrum; one on which stiffness shows needs a run that changes its method."""
        t, w, value = self._members.t, self._members.w[k], self._values[k]
        if k not in self._looks:
            self._looks[k] = _Looks(Tally())
        looks = self._looks[k]
        if looks.number != number:
            field = self._request.flow_of(k).legs[number].field
            evaluator = FieldEvaluator(field, looks.tally)
            looks.number = number
            looks.watch = StiffnessWatch(evaluator, plan, float(self._starts[k]))
        step = Step(
            float(self._began[k]), w, value, float(t[k]), w, value, math.nan, _no_interpolant, MANY
        )
        return GOING if looks.watch is None or looks.watch.look(step) is None else IRREGULAR


@dataclass
class _Looks:
    """A member's looks at its spectrum: what they cost, and those of its present phase."""

    tally: Tally
    number: int = -1
    watch: StiffnessWatch | None = None


def _norms(values: Array) -> Array:
    """Return the norms of field values as the compiled loop finds them."""
    from maml_ode.integrate.solvers.kernels.norms import euclidean_rows

    found = np.empty(len(values))
    euclidean_rows(values, found)
    return found


def _no_interpolant() -> Any:
    raise RuntimeError("a look at the spectrum needs no interpolant; this is a defect of maml_ode.")
