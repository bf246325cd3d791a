"""The parameters that a run may be differentiated by, and what a flow must have for each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from maml_ode._validation import Array, as_sequence, check_choice, shown
from maml_ode.fields import (
    CallableField,
    FirstOrderField,
    GradientField,
    ModifiedField,
    ReptileField,
)
from maml_ode.flows import Flow
from maml_ode.flows.fields import VectorField
from maml_ode.flows.variants import alpha_of, families_of, norm_switches
from maml_ode.integrate.plan import Tolerances
from maml_ode.objectives.step_sizes import key_of

__all__ = ["LOOSEST", "Block", "blocks_of", "checked_names", "tightened"]

# Derivatives are asked for to more digits than states.
LOOSEST = 1e-10

NAMES = ("alpha", "switch_tol", "w0", "weights")


@dataclass(frozen=True)
class Block:
    """A parameter's columns of the derivative: those from ``start`` on, ``size`` of them.

    ``single`` says that the parameter is one number, whose results have no axis of their own.
    """

    name: str
    start: int
    size: int
    single: bool

    @property
    def columns(self) -> slice:
        """Where its columns are."""
        return slice(self.start, self.start + self.size)


def checked_names(value: str | Iterable[str]) -> list[str]:
    """Return the names asked for, each once.

    Raises
    ------
    TypeError, ValueError
        For anything but a sequence of the known names.
    """
    if value == () and isinstance(value, tuple):
        return []
    given = [value] if isinstance(value, str) else as_sequence("sensitivities", value, "names")
    for name in given:
        check_choice("sensitivities", name, NAMES)
    return list(dict.fromkeys(given))


def blocks_of(flow: Flow, names: Iterable[str]) -> list[Block]:
    """Return the columns of every parameter.

    Raises
    ------
    ValueError
        If the flow cannot be differentiated, or lacks a parameter.
    """
    names = list(names)
    if not names:
        return []
    _check_flow(flow)
    fields = [phase.field for phase in flow.phases]
    blocks: list[Block] = []
    start = 0
    for name in names:
        size, single = {
            "alpha": _size_of_alpha,
            "switch_tol": _size_of_switch_tol,
            "w0": _size_of_w0,
            "weights": _size_of_weights,
        }[name](flow, fields)
        blocks.append(Block(name, start, size, single))
        start += size
    return blocks


def _check_flow(flow: Flow) -> None:
    if flow.retested or flow.re_entrant:
        raise ValueError(
            "sensitivities follow flows whose phases come one after the other, and the phases of this one come "
            "again; leave sensitivities= out, or use rule='one_way'."
        )
    for number, phase in enumerate(flow.phases):
        reason = _why_not(phase.field, flow.dim)
        if reason:
            raise ValueError(
                f"phase {number} ({phase.field.label}) has no sensitivities: {reason}."
            )


def _why_not(field: VectorField, dim: int) -> str:
    """Return why a field cannot be differentiated along a path; empty if it can."""
    if field.smoothness < 0:
        return "the field jumps at the kinks of the losses; use a smooth family"
    if field.is_lifted or field.dim != dim:
        return "its state is larger than w"
    if isinstance(field, ModifiedField):
        if field.affine is None:
            return (
                "its derivative needs fourth derivatives of the losses unless these are quadratic"
            )
        return ""
    if isinstance(field, (GradientField, FirstOrderField, ReptileField, CallableField)):
        if field.has_jacobian:
            return ""
        if isinstance(field, CallableField):
            return "it was given no Jacobian; pass jacobian= to CallableField"
        return "the family lacks the derivatives; give it hessians= or hvps=, and thirds= for F"
    return f"how a {shown(field)} depends on its parameters is not known here"


def _size_of_alpha(flow: Flow, fields: list[VectorField]) -> tuple[int, bool]:
    found: dict[Any, Any] = {}
    for field in fields:
        alpha = alpha_of(field)
        if alpha is None:
            continue
        if isinstance(field, ModifiedField):
            raise ValueError(
                "the modified field has no derivative by alpha here, only by w0; differentiate the flow of its "
                "objective, mo.gradient_flow(objective)."
            )
        found[key_of(alpha)] = alpha
    if not found:
        raise ValueError(
            f"the flow {flow.name!r} takes no inner steps, so it has no alpha; leave it out."
        )
    if len(found) > 1:
        raise ValueError(
            "the phases have different inner step sizes, so there is no one alpha to differentiate by."
        )
    (alpha,) = found.values()
    return int(np.size(alpha)), np.ndim(alpha) == 0


def _size_of_switch_tol(flow: Flow, fields: list[VectorField]) -> tuple[int, bool]:
    found = norm_switches(flow)
    if found != 1:
        how_many = "none of its phases ends" if found == 0 else f"{found} of its phases end"
        raise ValueError(
            f"switch_tol is the gradient norm at which a phase ends, but in the flow {flow.name!r} {how_many} at "
            "a gradient norm; leave it out."
        )
    return 1, True


def _size_of_w0(flow: Flow, fields: list[VectorField]) -> tuple[int, bool]:
    return flow.dim, False


def _size_of_weights(flow: Flow, fields: list[VectorField]) -> tuple[int, bool]:
    if any(isinstance(field, ModifiedField) for field in fields):
        raise ValueError(
            "the modified field has no derivative by the weights here, only by w0; differentiate the flow of its "
            "objective, mo.gradient_flow(objective)."
        )
    weights: list[Array] = [family.weights for field in fields for family in families_of(field)]
    if not weights:
        raise ValueError(
            f"the flow {flow.name!r} is made of no task family, so it has no weights; leave them out."
        )
    if any(not np.array_equal(weights[0], other) for other in weights):
        raise ValueError(
            "the phases have families with different weights, so there is no one set to differentiate by."
        )
    return int(weights[0].size), False


def tightened(tolerances: Tolerances) -> Tolerances:
    """Return tolerances for derivatives: what the caller did not fix is at most `LOOSEST`."""
    rtol = tolerances.rtol if tolerances.fixed_rtol else min(tolerances.rtol, LOOSEST)
    atol = tolerances.atol if tolerances.fixed_atol else min(tolerances.atol, LOOSEST / 100)
    return tolerances._replace(rtol=rtol, atol=atol)
