"""Flows: sequences of phases, each a vector field with a rule that ends it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from maml_ode._validation import (
    Array,
    as_sequence,
    check_callable,
    check_choice,
    check_count,
    check_text,
    shown,
)
from maml_ode.flows.fields import GradientField, VectorField
from maml_ode.flows.lifted_fields import ObservedField
from maml_ode.flows.switch_rules import EndingRule, GradientNormBelow, Reversed, as_rule
from maml_ode.objectives import ExpectedLoss, Objective, checked_objective

__all__ = ["Flow", "Leg", "Phase", "SwitchRule"]


class SwitchRule(enum.StrEnum):
    """How a two-phase flow chooses its phase.

    Algorithm 1 of the paper is printed with its test inverted and repeated every iteration.

    ONE_WAY
        Phase 1 until ||grad f|| <= eps0, then phase 2 for good. The text's order with a latch, which is
        our reading and the only one of the three that converges in general.
    AS_PRINTED
        -grad F while ||grad f|| > eps0, -grad f once it is not. Equals MAML unless eps0 is large, and then
        ends at the minimiser of f instead of that of F.
    RETEST
        The text's order, tested again at every iteration. Chatters on {||grad f|| = eps0} unless the
        minimiser of F lies inside that set.

    Examples
    --------
    >>> import maml_ode as mo
    >>> [rule.value for rule in mo.flows.SwitchRule]
    ['one_way', 'as_printed', 'retest']
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> mo.bimaml_flow(tasks, 0.1, 0.5, rule="retest").rule
    <SwitchRule.RETEST: 'retest'>
    """

    ONE_WAY = "one_way"
    AS_PRINTED = "as_printed"
    RETEST = "retest"


Until = GradientNormBelow | Callable[[float, Array], float]


@dataclass(frozen=True)
class Phase:
    """A vector field with the rule that ends it.

    Parameters
    ----------
    field : VectorField or Objective
        What the phase follows; an objective stands for minus its gradient.
    until : GradientNormBelow or callable, optional
        ``until(t, w)`` ends the phase at the first time at which its value is 0 or below; a boolean may stand for
        1 and 0. A phase whose rule is met when it begins is over at once, where an event of
        ``scipy.integrate.solve_ivp`` with direction -1 would wait for a fall from above; only in a flow whose
        phases come again must the value first have been above 0. A rule counts as met where its value touches 0
        to within 1e-10 of its size. Inside a step a function is looked at eight times, and more often where it
        turns; one that is met for less than a tenth of a step can be missed, which ``max_step`` prevents. None:
        the phase never ends by itself.
    then : int, optional
        The number of the phase that follows; the next one by default. A number at or before the phase's own
        makes the flow re-entrant.
    observe : callable, optional
        ``observe(z) -> w``, shape (d,), for a ``field`` on a larger state z in R^m, such as
        ``CallableField(function, dim=m)``. F, f, norms, ``until``, callbacks and pictures see w; integrators,
        dense output and resume see z, and tol the norm of the field on z. Momentum and Nesterov carry their own.
    lift : callable, optional
        ``lift(w) -> z``, the state in which the phase begins, with observe(lift(w)) = w; w padded with zeros by
        default.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> f = mo.ExpectedLoss(tasks)
    >>> flow = mo.Flow([mo.Phase(f, until=lambda t, w: w[0] - 1.0)])
    >>> run = mo.solve(flow, [10.0])
    >>> run.stop.name, round(float(run.w[0]), 9)
    ('SWITCHED', 1.0)
    """

    field: VectorField
    until: Until | None = None
    then: int | None = None
    observe: Callable[[Array], Array] | None = None
    lift: Callable[[Array], Array] | None = None

    def __init__(
        self,
        field: VectorField | Objective,
        until: Until | None = None,
        then: int | None = None,
        observe: Callable[[Array], Array] | None = None,
        lift: Callable[[Array], Array] | None = None,
    ) -> None:
        if isinstance(field, Objective):
            field = GradientField(field)
        if not isinstance(field, VectorField):
            raise TypeError(
                f"field must be an objective or a VectorField, not {shown(field)}; wrap a "
                "function with maml_ode.fields.CallableField(function, dim)."
            )
        if observe is not None:
            field = ObservedField(field, observe, lift)
        elif lift is not None:
            raise ValueError("lift= makes a state of w, so it needs observe=, which makes w of it.")
        object.__setattr__(self, "observe", observe)
        object.__setattr__(self, "lift", lift)
        if until is not None:
            check_callable("until", until, "until(t, w) -> float")
        object.__setattr__(self, "field", field)
        if then is not None:
            then = check_count("then", then, minimum=0)
            if until is None:
                raise ValueError("then= names what follows the phase's end, so it needs until=.")
        object.__setattr__(self, "until", until)
        object.__setattr__(self, "then", then)


@dataclass(frozen=True)
class Leg:
    """A phase as an integrator follows it: every switching rule of a flow is written as these.

    Attributes
    ----------
    field : VectorField
    rule : EndingRule or None
        What ends it.
    then : int
        The number of the leg that follows; the number of legs if the flow ends there.
    final : bool
        Whether a vanishing field ends the run here.
    """

    field: VectorField
    rule: EndingRule | None
    then: int
    final: bool


@dataclass(frozen=True)
class Flow:
    """A sequence of phases on the same R^d, and the objective that its trajectories are judged by.

    Parameters
    ----------
    phases : sequence of Phase
        Followed in order; every phase but the last needs ``until``.
    objective : Objective, optional
        F of the trajectory's ``loss`` and ``grad_norm``; the last phase's objective by default.
    rule : {"one_way", "as_printed", "retest"}
        How a two-phase flow chooses its phase; see `SwitchRule`.
    name : str
        How tables and legends name the flow.

    Raises
    ------
    ValueError
        For no phases, phases of different dimension, a phase without end before the last, or a rule other
        than one_way for a flow that does not have two phases.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> f, F = mo.ExpectedLoss(tasks), mo.MAMLLoss(tasks, alpha=0.1)
    >>> rule = mo.flows.GradientNormBelow(f, 0.5)
    >>> flow = mo.Flow([mo.Phase(f, until=rule), mo.Phase(F)], objective=F, name="BI-MAML")
    >>> run = mo.solve(flow, [10.0], tol=1e-8)
    >>> run.stop.name, len(run.switch_times)
    ('STATIONARY', 1)
    """

    phases: tuple[Phase, ...]
    objective: Objective
    rule: SwitchRule = SwitchRule.ONE_WAY
    name: str = "flow"

    def __init__(
        self,
        phases: Sequence[Phase],
        objective: Objective | None = None,
        rule: str = "one_way",
        name: str = "flow",
    ) -> None:
        chosen = SwitchRule(check_choice("rule", rule, [str(r) for r in SwitchRule]))
        if isinstance(phases, Phase):
            raise TypeError("phases must be a sequence of Phase; pass [phase] for a single one.")
        phases = tuple(as_sequence("phases", phases, "Phase"))
        if not phases:
            raise ValueError("phases is empty: a flow needs at least one Phase.")
        for number, phase in enumerate(phases):
            if not isinstance(phase, Phase):
                raise TypeError(f"phases[{number}] must be a Phase, not {shown(phase)}.")
            if phase.field.dim != phases[0].field.dim:
                raise ValueError(
                    f"all phases must act on the same R^d, but phase 0 has d = {phases[0].field.dim} and "
                    f"phase {number} has d = {phase.field.dim}."
                )
            if phase.then is not None and phase.then >= len(phases):
                raise ValueError(
                    f"phase {number} has then={phase.then}, but there are {len(phases)} phases, numbered from 0."
                )
            if phase.until is None and number < len(phases) - 1:
                raise ValueError(f"phase {number} is not the last one, so it needs until=.")
        objective = (
            _objective_of(phases[-1].field) if objective is None else checked_objective(objective)
        )
        if objective.dim != phases[0].field.dim:
            raise ValueError(
                f"objective has d = {objective.dim}, but the phases have d = {phases[0].field.dim}."
            )
        if chosen is not SwitchRule.ONE_WAY and any(phase.then is not None for phase in phases):
            raise ValueError(f"rule={rule!r} chooses the phase by itself; leave then= out.")
        if chosen is not SwitchRule.ONE_WAY and len(phases) != 2:
            raise ValueError(f"rule={rule!r} needs a flow of two phases, not {len(phases)}.")
        lifted = next((phase.field for phase in phases if phase.field.is_lifted), None)
        if chosen is not SwitchRule.ONE_WAY and lifted is not None:
            raise ValueError(
                f"rule={rule!r} tests again and again on which side of a surface w is, but the state of the phase "
                f"{lifted.label} is more than w; use rule='one_way'."
            )
        object.__setattr__(self, "phases", phases)
        object.__setattr__(self, "objective", objective)
        object.__setattr__(self, "rule", chosen)
        object.__setattr__(self, "name", check_text("name", name))

    @cached_property
    def dim(self) -> int:
        """The number of parameters d."""
        return self.objective.dim

    @cached_property
    def is_lifted(self) -> bool:
        """Whether the state of some phase is more than w."""
        return any(phase.field.is_lifted for phase in self.phases)

    @cached_property
    def state_dim(self) -> int:
        """The length m of the longest state of a phase; shorter ones are kept padded with zeros."""
        return max(phase.field.state_dim for phase in self.phases)

    @cached_property
    def re_entrant(self) -> bool:
        """Whether some phase is followed by itself or an earlier one."""
        return any(leg.then <= number for number, leg in enumerate(self.legs))

    @cached_property
    def is_rough(self) -> bool:
        """Whether the field of some phase is discontinuous."""
        return any(phase.field.smoothness < 0 for phase in self.phases)

    @cached_property
    def retested(self) -> bool:
        """Whether the phase is chosen by the sign of one rule, again and again."""
        return self.rule is not SwitchRule.ONE_WAY

    @property
    def inner_leg(self) -> int:
        """The phase in force where a rule that is tested again and again is met."""
        return 0 if self.rule is SwitchRule.AS_PRINTED else 1

    @cached_property
    def legs(self) -> tuple[Leg, ...]:
        """The phases with what ends them and what follows, as the integrators read them.

        With s the first phase's rule, retest is phase 0 while s > 0 and phase 1 while s <= 0, as_printed the
        other way round.
        """
        if self.rule is SwitchRule.ONE_WAY or self.phases[0].until is None:
            last = len(self.phases) - 1
            return tuple(
                Leg(
                    phase.field,
                    None if phase.until is None else as_rule(phase.until),
                    number + 1 if phase.then is None else phase.then,
                    number == last and phase.then is None,
                )
                for number, phase in enumerate(self.phases)
            )
        task, meta = (phase.field for phase in self.phases)
        s = as_rule(self.phases[0].until)
        if self.rule is SwitchRule.RETEST:
            return Leg(task, s, 1, False), Leg(meta, Reversed(s), 0, True)
        return Leg(task, Reversed(s), 1, True), Leg(meta, s, 0, True)

    @cached_property
    def identity(self) -> str | None:
        """A digest of what the flow computes: fields, rules, alpha, weights and data.

        Two flows with the same digest are the same flow, in any process. None where a part of it is a
        user's field or rule, or functions that refer to what may change: they cannot be compared.
        """
        from maml_ode.flows.identity import digest_of

        legs = [(leg.field, leg.rule, leg.then, leg.final) for leg in self.legs]
        return digest_of(("flow", str(self.rule), self.objective, legs))

    @cached_property
    def task_objective(self) -> ExpectedLoss:
        """The expected task loss f of the objective's family."""
        return ExpectedLoss(self.objective.tasks, self.objective.aggregate, self.objective.threads)

    def with_rule(self, rule: str) -> Flow:
        """Return the same flow under another switching rule."""
        return Flow(self.phases, self.objective, rule, self.name)


def _objective_of(field: VectorField) -> Objective:
    objective = getattr(field, "objective", None)
    if not isinstance(objective, Objective):
        raise ValueError(
            f"the last phase's field ({field.label}) has no objective of its own; pass objective=, the "
            "function that loss and grad_norm of the trajectory shall mean."
        )
    return objective
