"""The inner step size as the theory reads it: one number of at least 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from maml_ode.objectives.inner_loop import InnerSteps
from maml_ode.objectives.step_sizes import Alpha
from maml_ode.tasks.base import TaskFamily

__all__ = ["one_step_alpha", "outside_theory"]


def one_step_alpha(tasks: TaskFamily, alpha: Any) -> Alpha:
    """Return the step size of one inner step: a number, or an array that broadcasts against (1, M, d).

    Raises
    ------
    ValueError, TypeError
        For what `MAMLLoss` refuses.
    """
    return InnerSteps.checked(tasks, alpha, 1, None).alpha


def outside_theory(alpha: Alpha) -> str:
    """Return why no statement of the theory can be asked of ``alpha``; empty if they can."""
    if isinstance(alpha, np.ndarray):
        return "the theory assumes one inner step size for all tasks and coordinates, and alpha is an array"
    if alpha < 0:
        return f"the theory assumes an inner step size of at least 0, and alpha = {alpha:g}"
    return ""
