"""The search for critical points, its proof and what it proves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maml_ode._validation import Array
from maml_ode.tasks.base import TaskFamily, checked_family
from maml_ode.theory.intervals.cells import Cells, divide, narrowed, unconfirmed
from maml_ode.theory.intervals.derivatives import MAMLEnclosure
from maml_ode.theory.intervals.enclosure import Unenclosable
from maml_ode.theory.intervals.power_series import BallMAMLLoss
from maml_ode.theory.intervals.reach import confining_interval
from maml_ode.theory.intervals.result import CriticalPoints
from maml_ode.theory.intervals.work import Work

__all__ = ["Search"]


class Search:
    """Critical points of one family in one interval of w.

    Without an interval it is one that confines them, for all alpha for which such an interval is known.

    Parameters
    ----------
    tasks : TaskFamily
    alpha_low, alpha_high : ndarray of shape (n,)
        The intervals of alpha for which an interval of w must be known, unless it is given.
    interval : (float, float), optional

    Attributes
    ----------
    hopeless : str
        Why nothing can be proved for any alpha, or "".
    """

    def __init__(
        self,
        tasks: TaskFamily,
        alpha_low: Array,
        alpha_high: Array,
        interval: tuple[float, float] | None,
    ) -> None:
        checked_family(tasks)
        if alpha_low.size == 0:
            raise ValueError("alphas must hold at least one value.")
        self._tasks = tasks
        self.hopeless = ""
        try:
            self._enclose, self._loss = MAMLEnclosure(tasks), BallMAMLLoss(tasks)
        except Unenclosable as error:
            self.hopeless = str(error).rstrip(".")
        if interval is not None:
            self._interval = interval
            return
        pairs = _pairs(alpha_low, alpha_high)
        known = [ends for ends in (confining_interval(tasks, *pair) for pair in pairs) if ends]
        if not known:
            raise ValueError(
                "interval must be given: the critical points of F are confined to a known interval only "
                "for sinusoids with a_i > 0 and |alpha| < 1/L, and for quadratic tasks."
            )
        self._interval = min(low for low, _ in known), max(high for _, high in known)

    def counts(self, alpha_low: Array, alpha_high: Array, work: Work) -> list[CriticalPoints]:
        """Return the counts, with wide enclosures, for intervals of alpha."""
        if self.hopeless:
            pairs = _pairs(alpha_low, alpha_high)
            return [self._not_proved(alpha, self.hopeless) for alpha in pairs]
        cells = divide(self._enclose, self._interval, alpha_low, alpha_high, work)
        return [self._read_off(item, work) for item in cells]

    def points(self, alpha: Array, seconds: float) -> list[CriticalPoints]:
        """Return the counts, with narrow enclosures, for values of alpha."""
        work = Work(seconds)
        found = self.counts(alpha, alpha, work)
        brackets = np.array([ends for item in found for ends in item.enclosures])
        if not brackets.size:
            return found
        owner = np.array([k for k, item in enumerate(found) for _ in item.kinds])
        rises = np.array([1 if kind == "minimum" else -1 for item in found for kind in item.kinds])
        narrow = narrowed(self._enclose, self._loss, alpha[owner], brackets, rises, work)
        return [
            replace(item, enclosures=tuple((float(a), float(b)) for a, b in narrow[owner == k]))
            for k, item in enumerate(found)
        ]

    def _read_off(self, cells: Cells, work: Work) -> CriticalPoints:
        """Count the changes of sign of F' along the cells; between them F'' has one sign."""
        trouble = cells.trouble or unconfirmed(self._loss, cells, self._interval, work)
        if trouble:
            return self._not_proved(cells.alpha, trouble)
        everywhere = self._everywhere(cells.alpha)
        brackets, rises = cells.brackets()
        kinds = tuple("minimum" if rise == 1 else "maximum" for rise in rises)
        note = (
            "all critical points of F lie in the interval"
            if everywhere
            else "nothing is said about w outside the interval"
        )
        return CriticalPoints(
            cells.alpha, self._interval, len(brackets), brackets, kinds, True, everywhere, note
        )

    def _not_proved(self, alpha: tuple[float, float], trouble: str) -> CriticalPoints:
        everywhere, note = self._everywhere(alpha), f"not proved: {trouble}"
        return CriticalPoints(alpha, self._interval, None, (), (), False, everywhere, note)

    def _everywhere(self, alpha: tuple[float, float]) -> bool:
        low, high = self._interval
        confined = confining_interval(self._tasks, *alpha)
        return confined is not None and low <= confined[0] and confined[1] <= high


def _pairs(low: Array, high: Array) -> list[tuple[float, float]]:
    return [(a, b) for a, b in np.stack([low, high], axis=1).tolist()]
