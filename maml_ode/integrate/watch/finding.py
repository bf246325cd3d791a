"""What watchers look at, and what they find."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from maml_ode._validation import Array
from maml_ode.integrate.plan import Plan
from maml_ode.stop import Stop

__all__ = ["Batch", "Crossing", "Finding", "Interpolant", "Remedy", "Step", "Watcher"]

Interpolant = Callable[[float], Array]
Remedy = Callable[[Plan], Plan | None]


class Batch(NamedTuple):
    """Accepted steps, one after the other: where they ended, and the field's norm there."""

    times: Array
    states: Array
    norms: Array


class Step(NamedTuple):
    """The last step of a batch of accepted ones: where it began and where it ended.

    A batch ends where something happens, so that the last step is the one to look at; a single step is none.
    """

    t_old: float
    w_old: Array
    value_old: Array
    t: float
    w: Array
    value: Array
    norm: float
    interpolant: Callable[[], Interpolant]
    batch: Batch | None = None

    @property
    def steps(self) -> int:
        """How many steps the batch holds."""
        return 1 if self.batch is None else len(self.batch.norms)

    @property
    def length(self) -> float:
        """The length of the step."""
        return self.t - self.t_old


class Crossing(NamedTuple):
    """A step in which a phase's ending rule is met: its start, and a bracket of the first such time.

    ``low == high`` says that the phase ends at ``low``, in ``w``.
    """

    t_old: float
    w_old: Array
    low: float
    high: float
    interpolant: Interpolant | None = None


class Finding(NamedTuple):
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
