"""The loss and its gradient norm where the members of an ensemble end, by one batched pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maml_ode._validation import Array
from maml_ode.counts import Counts
from maml_ode.integrate.ensembles.members import Members
from maml_ode.integrate.ensembles.request import Request
from maml_ode.objectives import MAMLLoss
from maml_ode.stop import StopReason

__all__ = ["judge"]


def judge(request: Request, members: Members) -> tuple[Array, Array]:
    """Return F and ||grad F|| at the last states, each shape (K,); NaN where a key interrupts that.

    A member that was to have succeeded, but whose loss is not finite, has not.
    """
    size = len(members)
    loss, norm = np.full((2, size), np.nan)
    objective = request.flow.objective
    cost = objective.value_cost + objective.gradient_cost
    try:
        with np.errstate(all="ignore"):
            loss, norm = _looks(request, members)
            if request.flow.legs[-1].field.descends is objective:
                # The norm that ended a member is the one that it is told by.
                norm = np.where(np.isnan(members.norm), norm, members.norm)
    except KeyboardInterrupt:
        return loss, norm
    members.counts = members.counts + replace(Counts(), diagnostics=cost * size)
    lost = np.flatnonzero(members.success & ~np.isfinite(loss))
    members.end(lost, StopReason.NON_FINITE, asked_for=False)
    return loss, norm


def _looks(request: Request, members: Members) -> tuple[Array, Array]:
    objective = request.flow.objective
    if request.alpha is not None and isinstance(objective, MAMLLoss):
        return objective.looks_with(members.w, request.alpha)
    return objective.values_and_gradient_norms(members.w)
