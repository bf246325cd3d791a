"""Looks at states without the time that is part of them: a clock goes on where all else is at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maml_ode._validation import Array
from maml_ode.flows.fields import VectorField
from maml_ode.flows.lifted_fields import LiftedField
from maml_ode.integrate.watch.finding import Finding, Step, Watcher

__all__ = ["timeless", "without_clock"]


def without_clock(field: VectorField, state: Array) -> Array:
    """Return a state, or the field there, without the time that is part of it."""
    clock = _clock_of(field)
    return state if clock is None else np.delete(state, clock)


def timeless(watcher: Watcher, field: VectorField) -> Watcher:
    """Return the watcher; one that is shown no clocks if the states of ``field`` have one."""
    return watcher if _clock_of(field) is None else _Clockless(watcher, field)


def _clock_of(field: VectorField) -> int | None:
    # The look at the class is slow, so the fields that say they are not lifted are not looked at.
    return field.clock if field.is_lifted and isinstance(field, LiftedField) else None


@dataclass(frozen=True)
class _Clockless:
    watcher: Watcher
    field: VectorField

    def look(self, step: Step) -> Finding | None:
        """Show the step without the clock."""
        w_old, value_old, w, value = (
            without_clock(self.field, part)
            for part in (step.w_old, step.value_old, step.w, step.value)
        )
        return self.watcher.look(step._replace(w_old=w_old, value_old=value_old, w=w, value=value))
