"""A limit of time for searches that need not come to an end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Work"]


class Work:
    """A stretch of time that begins now.

    Parameters
    ----------
    max_seconds : float
    clock : callable
        Gives seconds; the time of day by default, which a user waits for. The time of this thread does
        not depend on what else the machine does.
    """

    def __init__(
        self, max_seconds: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_seconds = max_seconds
        self._clock = clock
        self._end = clock() + max_seconds

    @property
    def left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(0.0, self._end - self._clock())

    @property
    def over(self) -> bool:
        """Whether the time has passed."""
        return self.left == 0.0
