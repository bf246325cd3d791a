"""The same flow with another inner step size or another switch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from maml_ode.flows.fields import GradientField, VectorField
from maml_ode.flows.flow import Flow, Phase, Until
from maml_ode.flows.inner_step_fields import FirstOrderField, ReptileField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.flows.modified_field import ModifiedField
from maml_ode.flows.switch_rules import GradientNormBelow, OnlineSwitch
from maml_ode.objectives import MAMLLoss, Objective
from maml_ode.objectives.step_sizes import Alpha
from maml_ode.tasks.base import TaskFamily

__all__ = [
    "alpha_of",
    "families_of",
    "has_alpha",
    "has_alpha_arrays",
    "norm_switches",
    "takes_inner_steps",
    "with_alpha",
    "with_switch_tol",
]


def has_alpha(flow: Flow) -> bool:
    """Whether a field of the flow takes inner steps."""
    return any(takes_inner_steps(phase.field) for phase in flow.phases)


def has_alpha_arrays(flow: Flow) -> bool:
    """Whether some field's inner step size is an array."""
    return any(isinstance(alpha_of(phase.field), np.ndarray) for phase in flow.phases)


def alpha_of(field: VectorField) -> Alpha | None:
    """Return the inner step size of a field; None if it takes no inner steps."""
    owner = _owner_of_alpha(field)
    return None if owner is None else owner.alpha


def takes_inner_steps(field: VectorField) -> bool:
    """Whether a field depends on an inner step size alpha."""
    return _owner_of_alpha(field) is not None


def _owner_of_alpha(field: VectorField) -> MAMLLoss | FirstOrderField | ReptileField | None:
    """Return what has the inner step size of a field; None if it has none."""
    while isinstance(field, LiftedField):
        field = field.driving
    if isinstance(field, (FirstOrderField, ReptileField)):
        return field
    if isinstance(field, (GradientField, ModifiedField)):
        objective = field.objective
        return objective if isinstance(objective, MAMLLoss) else None
    return None


def families_of(field: VectorField) -> list[TaskFamily]:
    """Return the families of which a gradient, FO-MAML or Reptile field is made, else none."""
    if isinstance(field, GradientField):
        objective = field.objective
        return [objective.tasks, getattr(objective, "query", objective.tasks)]
    if isinstance(field, (FirstOrderField, ReptileField)):
        return [field.tasks, field.query]
    return []


def norm_switches(flow: Flow) -> int:
    """Return how many phases end at a gradient norm."""
    return sum(isinstance(phase.until, GradientNormBelow) for phase in flow.phases)


def with_alpha(flow: Flow, alpha: npt.ArrayLike) -> Flow:
    """Return the flow with another inner step size wherever it has one.

    Raises
    ------
    ValueError, TypeError
        For an ``alpha`` that the flow's objectives refuse.
    """
    changed: dict[int, Objective] = {}

    def objective(known: Objective) -> Objective:
        # A rule looks at the very objective that its phase follows, so each is changed once.
        if not isinstance(known, MAMLLoss):
            return known
        if id(known) not in changed:
            changed[id(known)] = known.with_alpha(alpha)
        return changed[id(known)]

    def field(known: VectorField) -> VectorField:
        if not takes_inner_steps(known):
            return known
        if isinstance(known, (FirstOrderField, ReptileField)):
            return known.with_alpha(alpha)
        if isinstance(known, ModifiedField):
            return ModifiedField(objective(known.objective), known.step_size)
        if isinstance(known, GradientField):
            return GradientField(objective(known.objective))
        if isinstance(known, LiftedField):
            return known.driven_by(field(known.driving))
        return known

    def until(known: Until | None) -> Until | None:
        if isinstance(known, GradientNormBelow):
            return GradientNormBelow(objective(known.objective), known.threshold)
        return replace(known, alpha=alpha) if isinstance(known, OnlineSwitch) else known

    phases = [Phase(field(p.field), until(p.until), p.then) for p in flow.phases]
    return Flow(phases, objective(flow.objective), str(flow.rule), flow.name)


def with_switch_tol(flow: Flow, switch_tol: float) -> Flow:
    """Return the flow with another threshold of every gradient norm that ends a phase."""

    def until(known: Until | None) -> Until | None:
        if isinstance(known, GradientNormBelow):
            return GradientNormBelow(known.objective, switch_tol)
        return known

    phases = [Phase(p.field, until(p.until), p.then) for p in flow.phases]
    return Flow(phases, flow.objective, str(flow.rule), flow.name)
