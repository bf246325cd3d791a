"""Forward Euler's steps on a native field in compiled code, as many a call as take little time."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from maml_ode._validation import Array
from maml_ode.integrate.evaluation import FieldEvaluator
from maml_ode.integrate.norms import all_finite
from maml_ode.integrate.record import Record
from maml_ode.integrate.segment import Segment

__all__ = ["EulerPhase", "book"]

# Keys and progress are seen to between batches, so none may take much longer than this.
BATCH_SECONDS = 0.02
SHORTEST_STEP = 1e-7
# The first batch tells how long a step takes.
FIRST_BATCH = 16
MOST_ROWS, FEWEST_ROWS, MOST_ENTRIES = 2**14, 8, 2**18


class EulerPhase:
    """Takes the steps of a phase up to where something has to be decided, and records them.

    Parameters
    ----------
    segment : Segment
        Its evaluator has a native handle, and its rule, if any, looks at the norm of its field.
    record : Record
    step_size : float
    record_every : int
    target : float
        A norm that is worth a look; negative for none.
    most : int
        Steps that may be left.
    """

    def __init__(
        self,
        segment: Segment,
        record: Record,
        step_size: float,
        record_every: int,
        target: float,
        most: int,
    ) -> None:
        self._segment = segment
        self._record = record
        self._step_size = step_size
        self._every = record_every
        self._target = target
        rule = segment.rule
        self._sign = 0.0 if rule is None else float(rule.rule.sign)
        self._threshold = 0.0 if rule is None else float(rule.rule.scale or 0.0)
        dim = segment.leg.field.state_dim  # a later phase may have longer states
        affordable = max(FEWEST_ROWS, min(MOST_ROWS, MOST_ENTRIES // dim))
        self._rows = min(affordable, most // record_every + 1)
        # A row more, in which a step that is not kept is taken.
        self._states = np.empty((self._rows + 1, dim))
        self._seconds_per_step = BATCH_SECONDS / FIRST_BATCH
        self._prepare(dim)

    def _prepare(self, dim: int) -> None:
        from maml_ode.integrate.solvers.kernels.euler_loop import euler_phase

        self._kernel = euler_phase
        self._norms = np.empty(self._rows + 1)
        self._ends = np.empty((2, dim))
        self._done = np.zeros(3, dtype=np.int64)

    @property
    def steps(self) -> int:
        """Steps of the last call."""
        return int(self._done[0])

    def advance(self, k: int, room: int, w: Array, velocity: Array) -> bool:
        """Take up to ``room`` steps from iterate ``k`` and record them; return whether there were any.

        The state after the last one, and the field there if it is finite, are the record's and the evaluator's.
        """
        self._ends[0], self._ends[1] = w, velocity
        return self._batch(k, room)

    def _batch(self, k: int, room: int) -> bool:
        began, key = time.perf_counter(), None
        timely = int(BATCH_SECONDS / max(self._seconds_per_step, SHORTEST_STEP))
        room = min(room, max(timely, 1), self._rows * self._every)
        self._done[:] = 0
        try:
            self._call(k, room)
        except KeyboardInterrupt as pressed:
            key = pressed
        steps = self.steps
        if steps:
            self._take(k, steps)
            self._seconds_per_step = (time.perf_counter() - began) / steps
        if key is not None:
            raise key
        return bool(steps)

    def _call(self, k: int, room: int) -> None:
        self._kernel(
            self._segment.evaluator.native, self._step_size, k, room, self._every, self._target,
            self._sign, self._threshold, self._ends, self._states, self._norms, self._done,
        )  # fmt: skip

    def _take(self, k: int, steps: int) -> None:
        _, rows, evaluations = self._done.tolist()
        w, velocity = self._ends[0].copy(), self._ends[1]
        book(self._segment.evaluator, evaluations, w, velocity)
        self._keep(k, steps, rows, w, self._norms[:rows])

    def _keep(self, k: int, steps: int, rows: int, w: Array, norms: npt.ArrayLike) -> None:
        """Record the iterates that are kept, and go to the last one."""
        record, number = self._record, self._segment.number
        first = (k // self._every + 1) * self._every
        kept = np.arange(first, first + rows * self._every, self._every)
        times = np.multiply(kept, self._step_size, dtype=np.float64)
        record.extend(times, self._states[:rows], number, norms)
        record.tally.steps += steps
        if (k + steps) % self._every:
            record.move((k + steps) * self._step_size, w, number)


def book(evaluator: FieldEvaluator, evaluations: int, w: Array, value: Array) -> None:
    """Count evaluations, the last of them at ``w``.

    A value that is not finite is asked for again, for whoever names it.
    """
    finite = all_finite(value)
    evaluator.book(evaluations if finite else evaluations - 1)
    if finite:
        evaluator.remember(w, value)
