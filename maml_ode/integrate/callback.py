"""What a callback sees, and how it ends a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maml_ode._validation import Array

__all__ = ["Callback", "State", "ends_run"]


@dataclass(frozen=True)
class State:
    """What a callback sees at every accepted step.

    Attributes
    ----------
    t : float
    w : ndarray of shape (d,)
        A copy.
    phase : int
    field_norm : float
        The norm by which the run is judged.
    step : int
        Accepted steps until now.

    Examples
    --------
    >>> import maml_ode as mo
    >>> tasks = mo.tasks.Quadratic([[[1.0]], [[3.0]]], [[3.0], [-3.0]])
    >>> seen = []
    >>> run = mo.euler(mo.maml_flow(tasks, 0.1), [10.0], 0.1, max_iter=3, callback=lambda s: seen.append(s.t))
    >>> [round(t, 1) for t in seen]
    [0.1, 0.2, 0.3]
    """

    t: float
    w: Array
    phase: int
    field_norm: float
    step: int


Callback = Callable[[State], Any]


def ends_run(callback: Callback, state: State) -> bool:
    """Call back; return whether the run shall end: a true value, or StopIteration."""
    try:
        return bool(callback(state))
    except StopIteration:
        return True
