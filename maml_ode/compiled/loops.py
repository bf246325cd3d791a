"""Loops over tasks and inner steps: those that serve every family, and the place of a family's own.

The loops of ``maml_ode.compiled.maml`` call a family's kernels through values, three times a task: nothing beside
products with data, and most of the time where a task is a few operations. Such a family may bring loops of its
own. Their numbers are those of the loops for all, to the last bit; so are those of the loops for families with
tapes, with which nothing is compiled that only others need.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from maml_ode.compiled import maml, points
from maml_ode.compiled.decorators import OnDemand, compiled
from maml_ode.compiled.descents import held

__all__ = ["FOR_ALL", "FOR_TAPED", "Loops"]


@dataclass(frozen=True)
class Loops:
    """Compiled functions with the arguments of those of the same names in ``maml`` and ``points``."""

    gradient: Any
    first_order_gradient: Any
    values: Any
    gradients: Any
    looks_with: Any


def _along(gradient: Any) -> Loops:
    def following(loop: Any) -> OnDemand:
        return OnDemand(loop.__wrapped__, lambda _: partial(compiled(loop), held(gradient)))

    return Loops(
        gradient,
        maml.first_order_gradient,
        points.values,
        following(points.gradients),
        following(points.looks_with),
    )


FOR_ALL, FOR_TAPED = _along(maml.gradient), _along(maml.taped_gradient)
