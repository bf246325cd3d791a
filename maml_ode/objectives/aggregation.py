"""One aggregated form for one question: a family's quadratic is not summed up anew for every objective on it."""

from __future__ import annotations

from typing import Any, Literal
from weakref import WeakKeyDictionary

from maml_ode._validation import shown
from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.quadratic_form import QuadraticForm, maml_quadratic_form
from maml_ode.objectives.step_sizes import key_of
from maml_ode.tasks.base import TaskFamily

__all__ = ["Aggregate", "aggregated_form", "checked_aggregate"]

Aggregate = Literal["auto", False]
"""Whether a quadratic objective is summed up over the tasks once, or in every evaluation."""

# Forms kept for each pair of families: a sweep over alpha shall not keep a matrix for every value.
KEPT = 4

_Forms = dict[tuple[Any, int], QuadraticForm]
_forms: WeakKeyDictionary[TaskFamily, WeakKeyDictionary[TaskFamily, _Forms]] = WeakKeyDictionary()


def checked_aggregate(value: Any) -> Aggregate:
    """Return "auto" or False.

    Raises
    ------
    ValueError
        For anything else.
    """
    if value is False:
        return False
    if isinstance(value, str) and value == "auto":
        return "auto"
    raise ValueError(
        f'aggregate must be "auto" (a quadratic is summed up once) or False (in every evaluation), not '
        f"{shown(value)}."
    )


def aggregated_form(steps: InnerSteps) -> QuadraticForm | None:
    """Return sum_i p_i g_i(u_i) as one quadratic form, or None if there is none, or its numbers overflow.

    The forms asked for last are kept as long as the families live.
    """
    of_family = _forms.setdefault(steps.tasks, WeakKeyDictionary())
    known = of_family.setdefault(steps.query, {})
    key = (key_of(steps.alpha), steps.count)
    form = known.pop(key, None)
    if form is None:
        form = maml_quadratic_form(steps.tasks, steps.query, steps.alpha, steps.count)
    if form is None:
        return None
    known[key] = form
    while len(known) > KEPT:
        del known[next(iter(known))]
    return form
