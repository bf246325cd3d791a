"""A limit of time for searches that need not come to an end."""

from __future__ import annotations

import math
import time

__all__ = ["Work"]


class Work:
    """A stretch of time that begins now.

    Parameters
    ----------
    max_seconds : float
    """

    def __init__(self, max_seconds: float = math.inf) -> None:
        self.max_seconds = max_seconds
        self._end = time.monotonic() + max_seconds

    @property
    def over(self) -> bool:
        """Whether the time has passed."""
        return time.monotonic() >= self._end
