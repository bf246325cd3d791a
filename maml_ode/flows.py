"""Flows: sequences of phases, each a vector field with a rule that ends it."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from maml_ode._validation import (
    Array,
    as_sequence,
    check_callable,
    check_choice,
    check_count,
    check_real,
    check_text,
    shown,
)
from maml_ode.fields import (
    FirstOrderField,
    GradientField,
    ModifiedField,
    ReptileField,
    VectorField,
)
from maml_ode.objectives import ExpectedLoss, MAMLLoss, Objective, checked_objective
from maml_ode.switch_rules import GradientNormBelow, OnlineSwitch
from maml_ode.tasks.base import TaskFamily

__all__ = [
    "Flow",
    "GradientNormBelow",
    "Phase",
    "SwitchRule",
    "bimaml_flow",
    "fomaml_flow",
    "gradient_flow",
    "maml_flow",
    "modified_flow",
    "reptile_flow",
]


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
        ``until(t, w)`` ends the phase where its value falls to 0 or below (an event as in
        ``scipy.integrate.solve_ivp``, terminal, direction -1). None: the phase never ends by itself.
    then : int, optional
        The number of the phase that follows; the next one by default. A number at or before the phase's own
        makes the flow re-entrant.
    """

    field: VectorField
    until: Until | None = None
    then: int | None = None

    def __init__(
        self,
        field: VectorField | Objective,
        until: Until | None = None,
        then: int | None = None,
    ) -> None:
        if isinstance(field, Objective):
            field = GradientField(field)
        if not isinstance(field, VectorField):
            raise TypeError(
                f"field must be an objective or a VectorField, not {shown(field)}; wrap a "
                "function with maml_ode.fields.CallableField(function, dim)."
            )
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
        object.__setattr__(self, "phases", phases)
        object.__setattr__(self, "objective", objective)
        object.__setattr__(self, "rule", chosen)
        object.__setattr__(self, "name", check_text("name", name))

    @property
    def dim(self) -> int:
        """The number of parameters d."""
        return self.objective.dim

    def following(self, number: int) -> int:
        """Return the phase after phase ``number``; the number of phases if the flow ends there."""
        then = self.phases[number].then
        return number + 1 if then is None else then

    @property
    def re_entrant(self) -> bool:
        """Whether some phase is followed by itself or an earlier one."""
        return any(self.following(number) <= number for number in range(len(self.phases)))

    @property
    def task_objective(self) -> ExpectedLoss:
        """The expected task loss f of the objective's family."""
        return ExpectedLoss(self.objective.tasks)

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


def gradient_flow(objective: Objective) -> Flow:
    """Return the gradient flow w' = -grad objective(w).

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]]], [[1.0]])
    >>> mo.gradient_flow(mo.ExpectedLoss(tasks)).name
    'gradient flow'
    """
    return Flow([Phase(checked_objective(objective))], objective, name="gradient flow")


def maml_flow(tasks: TaskFamily, alpha: float, **kw: Any) -> Flow:
    """Return the MAML ODE w' = -grad F(w), equation (3.2) of Xu, Chen and Karbasi (AISTATS 2021).

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float
        Inner step size.
    **kw
        ``inner_steps`` and ``query`` of `MAMLLoss`.
    """
    objective = MAMLLoss(tasks, alpha, **kw)
    return Flow([Phase(objective)], objective, name="MAML")


def bimaml_flow(
    tasks: TaskFamily,
    alpha: float,
    switch_tol: float | None = None,
    *,
    rule: str = "one_way",
    switch: str = "tolerance",
    cost_ratio: float = 3.0,
    **kw: Any,
) -> Flow:
    """Return the BI-MAML ODE: w' = -grad f until ||grad f|| <= switch_tol, then w' = -grad F.

    "BI" is biphasic (Algorithm 2 of Xu, Chen and Karbasi). The printed algorithm has its test inverted,
    repeats it in every iteration, and multiplies the right-hand side by the step size; the default here is
    the text's order with a one-way switch, without that factor.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float
        Inner step size.
    switch_tol : float
        eps0 >= 0, in the units of the gradient; left out with ``switch="auto"``.
    rule : {"one_way", "as_printed", "retest"}
        See `SwitchRule`.
    switch : {"tolerance", "auto"}
        "auto" leaves phase 1 by `maml_ode.switch_rules.OnlineSwitch`, which needs no eps0 and costs one
        Hessian-vector product a look; theory derives it (`mo.theory.switch_advice`).
    cost_ratio : float
        For "auto": what an evaluation of grad F costs in gradients, times the ratio of the phases' rates;
        above 1.
    **kw
        ``inner_steps`` and ``query`` of `MAMLLoss`.
    """
    objective = MAMLLoss(tasks, alpha, **kw)
    task_loss = ExpectedLoss(tasks)
    ratio = check_real("cost_ratio", cost_ratio, minimum=1.0, strict=True)
    until: Until
    if check_choice("switch", switch, ("tolerance", "auto")) == "auto":
        if switch_tol is not None:
            raise TypeError("switch='auto' finds its own switch; leave switch_tol out.")
        until = OnlineSwitch(tasks, objective.alpha, math.sqrt(ratio - 1.0))
    else:
        if switch_tol is None:
            raise TypeError("bimaml_flow needs switch_tol, or switch='auto'.")
        until = GradientNormBelow(task_loss, switch_tol)
    return Flow([Phase(task_loss, until=until), Phase(objective)], objective, rule, name="BI-MAML")


def fomaml_flow(tasks: TaskFamily, alpha: float, **kw: Any) -> Flow:
    """Return the first-order MAML flow w' = -sum_i p_i grad f_i(u_i).

    Its trajectories are judged by F where the family has Hessian-vector products, else by f. In general it
    does not end at a stationary point of F.

    Parameters
    ----------
    tasks : TaskFamily
    alpha : float
        Inner step size.
    **kw
        ``inner_steps`` and ``query`` of `MAMLLoss`.
    """
    field = FirstOrderField(tasks, alpha, **kw)
    return Flow([Phase(field)], _judge(tasks, alpha, **kw), name="FO-MAML")


def reptile_flow(tasks: TaskFamily, alpha: float, inner_steps: int = 1) -> Flow:
    """Return the Reptile flow w' = sum_i p_i (u_i - w)/alpha, u_i after ``inner_steps`` inner steps.

    Judged by F with the same alpha and inner steps where the family has Hessian-vector products, else by f.
    """
    field = ReptileField(tasks, alpha, inner_steps)
    return Flow([Phase(field)], _judge(tasks, alpha, inner_steps=inner_steps), name="Reptile")


def modified_flow(objective: Objective, step_size: float) -> Flow:
    """Return the flow of F + step_size/4 ||grad F||^2, which Euler's iterates follow to second order.

    Barrett and Dherin, "Implicit Gradient Regularization", ICLR 2021, arXiv:2009.11162.
    """
    field = ModifiedField(objective, step_size)
    return Flow([Phase(field)], objective, name="modified flow")


def _judge(tasks: TaskFamily, alpha: float, **kw: Any) -> Objective:
    return MAMLLoss(tasks, alpha, **kw) if tasks.has_hvps else ExpectedLoss(tasks)
