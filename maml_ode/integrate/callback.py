"""What a callback sees, and how it ends a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maml_ode._validation import Array

__all__ = ["Callback", "State", "ends_run"]


@dataclass(frozen=True)
class State:
    """What a callback sees at every accepted step."""

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
