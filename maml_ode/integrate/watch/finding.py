"""What watchers look at, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from maml_ode._validation import Array
from maml_ode.integrate.plan import Plan
from maml_ode.stop import Stop

__all__ = ["Crossing", "Earlier", "Finding", "Interpolant", "Remedy", "Step", "Watcher"]

Interpolant = Callable[[float], Array]
Remedy = Callable[[Plan], Plan | None]


@dataclass(frozen=True)
class Earlier:
    """The steps of a batch before its last one: where they ended, and the field's norm there."""

    times: Array
    states: Array
    norms: Sequence[float]


NOTHING_EARLIER = Earlier(np.empty(0), np.empty((0, 0)), ())


@dataclass(frozen=True)
class Step:
    """The last step of a batch of accepted ones: where it began and where it ended.

    A batch ends where something happens, so that the last step is the one to look at.
    """

    t_old: float
    w_old: Array
    value_old: Array
    t: float
    w: Array
    value: Array
    norm: float
    interpolant: Callable[[], Interpolant]
    earlier: Earlier = NOTHING_EARLIER

    @property
    def count(self) -> int:
        """How many steps the batch holds."""
        return 1 + len(self.earlier.norms)

    @property
    def length(self) -> float:
        """The length of the step."""
        return self.t - self.t_old


@dataclass(frozen=True)
class Crossing:
    """A step in which a phase's ending rule is met: its start, and a bracket of the first such time.

    ``low == high`` says that the phase ends at ``low``, in ``w``.
    """

    t_old: float
    w_old: Array
    low: float
    high: float
    interpolant: Interpolant | None = None


@dataclass(frozen=True)
class Finding:
    """Why a stepper was told to stop.

    Attributes
    ----------
    stop : Stop
        What ends the run if there is no remedy.
    keep : bool
        Whether the step's end belongs to the path.
    crossing : Crossing or None
        Where the phase ends by its own rule.
    remedy : callable or None
        From the plan to a better one with which to go on, or None if there is none.
    """

    stop: Stop
    keep: bool = True
    crossing: Crossing | None = None
    remedy: Remedy | None = None


class Watcher(Protocol):
    """Looks at every batch of accepted steps of one phase."""

    def look(self, step: Step) -> Finding | None:
        """Return what ends the phase, or None to go on."""
