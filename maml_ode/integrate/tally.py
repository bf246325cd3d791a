"""The running totals of one run, and its limits."""

from __future__ import annotations

import time
from typing import Any

from maml_ode._frozen import made
from maml_ode.counts import KINDS, Counts
from maml_ode.stop import Stop, StopReason

__all__ = ["Abort", "Tally"]


class Abort(Exception):
    """Ends a run from inside an evaluation."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.message)
        self.stop = stop


class Tally:
    """Evaluations, steps and wall-clock time of one run.

    Attributes
    ----------
    nfev, njev, nlu, steps, rejected : int
    points : int
        Points of the path so far.
    seconds_per_point : float
        What the diagnostics of one point will take: the time limit leaves room for them.
    """

    def __init__(
        self, max_seconds: float | None = None, max_evaluations: int | None = None
    ) -> None:
        self._charged: dict[int, list[Any]] = {}
        self.nfev = self.njev = self.nlu = self.steps = self.rejected = 0
        self.points = 0
        self.seconds_per_point = 0.0
        self.started = time.perf_counter()
        self.max_seconds = max_seconds
        self.max_evaluations = max_evaluations

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.started

    def add(self, cost: Counts, times: int = 1) -> None:
        """Charge ``times`` evaluations."""
        entry = self._charged.get(id(cost))
        if entry is None:
            self._charged[id(cost)] = [cost, times]
        else:
            entry[1] += times

    def total(self, diagnostics: Counts | None) -> Counts:
        """Return everything charged so far, with the diagnostics beside it."""
        sums: dict[str, Any] = dict.fromkeys(KINDS, 0)
        sums["factorizations"], sums["steps"] = self.nlu, self.steps
        sums["rejected"], sums["diagnostics"] = self.rejected, diagnostics
        for cost, times in self._charged.values():
            for kind, count in cost._parts:
                sums[kind] += times * count
        return made(Counts, sums)

    @property
    def out_of_time(self) -> bool:
        """Whether the wall-clock limit has passed."""
        return self.max_seconds is not None and self.elapsed > self.max_seconds

    def check_limits(self) -> None:
        """Raise Abort when the wall-clock or the evaluation limit has passed."""
        if self.max_evaluations is not None and self.nfev >= self.max_evaluations:
            detail = f"max_evaluations = {self.max_evaluations}."
            raise Abort(Stop(StopReason.EVALUATION_LIMIT, detail))
        if self.max_seconds is not None:
            spent = self.elapsed + self.points * self.seconds_per_point
            if spent > self.max_seconds:
                raise Abort(Stop(StopReason.TIME_LIMIT, f"max_seconds = {self.max_seconds:g}."))
