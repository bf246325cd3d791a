"""Fields that are means over tasks, and their values for some of the tasks."""

from __future__ import annotations

from functools import singledispatch

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.fields import FirstOrderField, GradientField, ReptileField
from maml_ode.flows.fields import VectorField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.tasks.base import TaskFamily

__all__ = ["mean_over", "tasks_behind"]

Tasks = npt.NDArray[np.int64]


def tasks_behind(field: VectorField) -> TaskFamily | None:
    """Return the tasks that a field is a mean over, weighted by p_i; None if it is no mean.

    Of a lifted field, whose algorithm is affine in the value of ``driving``: those of that.
    """
    if isinstance(field, LiftedField):
        return tasks_behind(field.driving)
    if isinstance(field, GradientField):
        return field.objective.tasks
    return field.tasks if isinstance(field, (FirstOrderField, ReptileField)) else None


@singledispatch
def mean_over(field: VectorField, w: Array, tasks: Tasks) -> Array:
    """Return the plain mean of a field's terms over some tasks, which may repeat."""
    raise TypeError(f"{field.label} is no mean over tasks, so it has no value for some of them.")


@mean_over.register
def _(field: GradientField, w: Array, tasks: Tasks) -> Array:
    return -field.objective.gradient_over(w, tasks)


@mean_over.register
def _(field: FirstOrderField, w: Array, tasks: Tasks) -> Array:
    return -field._inner.loop.first_order_gradient_over(w, tasks)


@mean_over.register
def _(field: ReptileField, w: Array, tasks: Tasks) -> Array:
    return -field._inner.loop.reptile_gradient_over(w, tasks)
