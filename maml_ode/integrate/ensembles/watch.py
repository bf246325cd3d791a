"""The limits of an ensemble's run, and its progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable

from maml_ode.integrate.ensembles.members import Members
from maml_ode.integrate.progress import Progress
from maml_ode.stop import StopReason

__all__ = ["OutOfTime", "Watch"]


class OutOfTime(Exception):
    """The time limit of an ensemble has passed."""

    reason = StopReason.TIME_LIMIT


class Watch:
    """Knows how long an ensemble may take, and shows how far it is."""

    def __init__(self, members: Members, bar: Progress, max_seconds: float | None) -> None:
        self._members = members
        self._bar = bar
        self._max_seconds = max_seconds
        self._began = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the limit, a little above 0 at least; None without a limit."""
        return None if self._max_seconds is None else max(self._max_seconds - self.elapsed, 1e-9)

    def look(self, done: Callable[[], int] = int) -> None:
        """Show the progress, and end the run where its time is over.

        Parameters
        ----------
        done : callable
            Returns how many members are as good as finished.

        Raises
        ------
        OutOfTime
            If it is.
        """
        if self._bar.show:
            size = len(self._members)
            ended = max(size - self._members.unfinished.size, done())
            self._bar.display(ended / size, f"{ended} of {size}")
        if self._max_seconds is not None and self.elapsed > self._max_seconds:
            raise OutOfTime
