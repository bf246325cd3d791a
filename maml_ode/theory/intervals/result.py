"""What is known about the critical points of F on an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maml_ode._validation import Array

__all__ = ["CriticalPoints"]


@dataclass(frozen=True)
class CriticalPoints:
    """The critical points of F on an interval.

    Attributes
    ----------
    alpha : tuple of float
        The statement holds for every alpha in [alpha[0], alpha[1]].
    interval : tuple of float
        The w considered.
    count : int or None
        The number of critical points in ``interval``; None where it is not proved.
    enclosures : tuple of (float, float)
        Disjoint intervals in ascending order, each with exactly one of them (for every alpha).
    kinds : tuple of str
        "minimum" where F'' > 0 is proved, "maximum" where F'' < 0 is.
    certified : bool
        Whether ``count`` is proved.
    everywhere : bool
        Whether there are proved to be no critical points outside ``interval``.
    note : str

    Examples
    --------
    >>> import maml_ode as mo
    >>> problem = mo.experiments.load("figure1")
    >>> found = mo.theory.count_critical_points(problem.tasks, 0.4)
    >>> found.count, found.everywhere, found.kinds[:2]
    (7, True, ('minimum', 'maximum'))
    """

    alpha: tuple[float, float]
    interval: tuple[float, float]
    count: int | None
    enclosures: tuple[tuple[float, float], ...]
    kinds: tuple[str, ...]
    certified: bool
    everywhere: bool
    note: str

    @property
    def unique(self) -> bool | None:
        """Whether F has exactly one critical point on the whole line; None if that is not proved."""
        if self.count is None or (self.count == 1 and not self.everywhere):
            return None
        if self.count == 0 and not self.everywhere:
            return None
        return self.count == 1

    @property
    def points(self) -> Array:
        """The middles of the enclosures, shape (count,)."""
        return np.array([0.5 * (low + high) for low, high in self.enclosures])
