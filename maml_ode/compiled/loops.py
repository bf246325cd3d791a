"""Loops over tasks and inner steps: those that serve every family, and the place of a family's own.

The loops of ``maml_ode.compiled.maml`` call a family's kernels through values, three times a task: nothing beside
products with data, and most of the time where a task is a few operations. Such a family may bring loops of its
own. Their numbers are those of the loops for all, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from maml_ode.compiled import maml, points

__all__ = ["FOR_ALL", "Loops"]


@dataclass(frozen=True)
class Loops:
    """Compiled functions with the arguments of those of the same names in ``maml`` and ``points``."""

    gradient: Any
    first_order_gradient: Any
    values: Any
    gradients: Any
    looks_with: Any


FOR_ALL = Loops(
    maml.gradient,
    maml.first_order_gradient,
    points.values,
    points.gradients,
    points.looks_with,
)
